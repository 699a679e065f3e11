"""What every command shares: `--json`, `--home`, a voice, and errors as sentences with an exit code."""

from __future__ import annotations

import functools
import traceback
from typing import TYPE_CHECKING, Any

import click

from devices.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, UtbenchError
from devices.home import Home
from devices.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PORT_HELP = "Its port: /dev/ttyUSB0, COM3, socket://HOST:PORT, rfc2217://HOST:PORT or sim:MODEL."


def command(group: click.Group, name: str, *, examples: str) -> Callable[[Callable[..., int]], click.Command]:
    """A command of `group` called with `(report, home, …)`; `examples` end its help."""

    def register(work: Callable[..., int]) -> click.Command:
        @functools.wraps(work)
        @click.pass_context
        def run(ctx: click.Context, /, *, json_lines: bool, home: str | None, **options: Any) -> int:
            report = Report(json_lines=json_lines)
            return guarded(report, lambda: work(report, Home.at(home or ctx.find_root().obj), **options))

        with_home = click.option("--home", metavar="DIR", help="Where state lives.")(run)
        with_json = click.option("--json", "json_lines", is_flag=True, help="JSON lines on stdout.")(with_home)
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())
        return group.command(name, epilog=epilog)(with_json)

    return register


def guarded(report: Report, work: Callable[[], int]) -> int:
    """Run; every failure ends as one sentence, a `result` line and an exit code."""
    try:
        return work()
    except UtbenchError as error:
        report.error(error)
        return report.result(error.exit_code)
    except KeyboardInterrupt:
        report.say("utbench: interrupted; run the same command again to go on.")
        return report.result(EXIT_INTERRUPTED)
    except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - a person never sees a traceback unless they ask for it
        import os

        if os.environ.get("UTBENCH_DEBUG"):
            traceback.print_exc()
        report.error(
            UtbenchError(
                f"Something went wrong inside utbench ({type(error).__name__}: {error}).",
                "Set UTBENCH_DEBUG=1 and run it again to see where, and report that.",
            )
        )
        return report.result(EXIT_FAILED)


def worst(codes: Iterable[int]) -> int:
    """One exit code for several ports: the first of 1, 5, 4, 0 that occurred; 3 only if all had nothing to do."""
    seen = set(codes)
    for code in (EXIT_INTERRUPTED, EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, 0):
        if code in seen:
            return code
    return next(iter(seen), 0)
