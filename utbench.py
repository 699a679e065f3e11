"""The front door: a table of commands, each imported only when it is called.

Nothing imports this module. `main` is the one place where an error becomes an exit code.
"""

from __future__ import annotations

import importlib
import signal
import sys

import click

VERSION = "0.1.0"
COMMANDS = {
    "demo": ("simulators.commands.demo", "The main job, narrated: update three terminals, then pay on one."),
    "device": ("devices.commands.device", "One attached terminal: list, info, screen, press, touch, tap, …"),
    "image": ("terminal.commands.image", "Firmware images: build, inspect."),
    "ota": ("ota.commands.ota", "The update agent: check, update, verify, trust, enrol."),
    "sim": ("simulators.commands.sim", "The simulators as servers: world, host, updates, device."),
}


class Table(click.Group):
    """A group whose commands are a table of modules; `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


EPILOG = """\b
Examples:
  utbench                                     the workbench: a UT-99L to pay with
  utbench demo                                the main job from end to end
  utbench device list                         which terminals are attached
  utbench ota update --port /dev/ttyUSB0      update the terminal at a port
"""


@click.group(
    cls=Table, invoke_without_command=True, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(VERSION, prog_name="utbench")
@click.option(
    "--home", metavar="DIR", help="Where state lives (default: UTBENCH_HOME, else the platform's data folder)."
)
@click.pass_context
def cli(ctx: click.Context, home: str | None) -> int | None:
    """A bench for the voucher terminals UT-99L, UT-77L and UT-55L: emulate, pay, update, drive from tests.

    Without a command the workbench opens.
    """
    ctx.obj = home
    if ctx.invoked_subcommand is None:
        from simulators.commands.workbench import open_workbench

        return open_workbench(home)
    return None


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit codes are those of `devices/errors.py`."""
    args = sys.argv[1:] if argv is None else argv
    if argv is None:
        signal.signal(signal.SIGTERM, _interrupt)  # so that being told to stop cleans up as Ctrl-C does
    try:
        result = cli.main(args=args, prog_name="utbench", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        return _usage(error, args)
    except (click.Abort, KeyboardInterrupt):
        print("\nutbench: interrupted; run the same command again to go on.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _usage(error: click.UsageError, args: list[str]) -> int:
    hint = f"See `{error.ctx.command_path} --help`." if error.ctx else "See `utbench --help`."
    print(f"utbench: {error.format_message()} {hint}", file=sys.stderr)
    if "--json" in args:
        from devices.report import Report

        report = Report(json_lines=True)
        report.event("error", code="usage", message=error.format_message(), hint=hint)
        report.result(2)
    return 2


if __name__ == "__main__":
    sys.exit(main())
