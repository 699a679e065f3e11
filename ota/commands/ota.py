"""`utbench ota …`: the update agent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devices.commands.shell import PORT_HELP, command, worst
from devices.errors import PortNotFound, UsageError
from devices.link import DEFAULT_BAUD

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.discovery import Candidate
    from devices.home import Home
    from devices.report import Report
    from ota.plan import Rules
    from ota.trust import TrustedServer

ports_option = click.option("--port", "ports", multiple=True, metavar="PORT", help=PORT_HELP + " Again and again.")
all_option = click.option("--all", "every", is_flag=True, help="Every terminal that is attached.")
server_option = click.option("--server", metavar="NAME|URL", help="A trusted server. Without it: the only one.")
baud_option = click.option("--baud", default=DEFAULT_BAUD, show_default=True, help="Speed of serial ports.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def ota() -> None:
    """The update agent: checks registration, downloads, installs, and reads the version back."""


def _rules(function: Callable[..., int]) -> Callable[..., int]:
    for option in (
        click.option("--despite-disk", is_flag=True, help="Update although little disk is free."),
        click.option("--despite-payment", is_flag=True, help="Update although a payment is in progress."),
        click.option("--despite-battery", is_flag=True, help="Update although the battery is under 30 %."),
        click.option("--reason", default="", metavar="TEXT", help="Why; kept in the report."),
        click.option("--allow-downgrade", is_flag=True, help="Install an older release; needs --reason."),
    ):
        function = option(function)
    return function


@command(
    ota,
    "update",
    examples="utbench ota update --port /dev/ttyUSB0\n"
    "utbench ota update --all --json\n"
    'utbench ota update --port COM7 --allow-downgrade --reason "1014 신고 접수"',
)
@ports_option
@all_option
@server_option
@baud_option
@_rules
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
def update(
    report: Report, home: Home, ports: tuple[str, ...], every: bool, server: str | None, baud: int, **rules: object
) -> int:
    """Bring terminals to the release that the server wants for them, and prove it.

    Broken off at any moment, the same command goes on where it stopped.
    """
    from ota.plan import Rules

    return _run(report, home, _candidates(home, ports, every), server, Rules(**rules), baud)  # type: ignore[arg-type]


@command(ota, "check", examples="utbench ota check --port /dev/ttyUSB0\nutbench ota check --all --json")
@ports_option
@all_option
@server_option
@baud_option
@_rules
def check(
    report: Report, home: Home, ports: tuple[str, ...], every: bool, server: str | None, baud: int, **rules: object
) -> int:
    """Can I update now, and what would happen? Changes nothing. Exit code 3: up to date."""
    from ota.plan import Rules

    chosen = Rules(dry_run=True, **rules)  # type: ignore[arg-type]
    return _run(report, home, _candidates(home, ports, every), server, chosen, baud)


def _candidates(home: Home, ports: tuple[str, ...], every: bool) -> list[Candidate]:
    from devices import discovery

    if ports and every:
        raise UsageError("Name ports or say --all, not both.")
    if ports:
        return discovery.candidates(home, tuple(dict.fromkeys(ports)))
    if not every:
        return [discovery.one(home, None)]
    found = discovery.candidates(home)
    if not found:
        raise PortNotFound("No terminal is attached.", "Plug one in, or name its port with --port.")
    return found


def _run(report: Report, home: Home, candidates: list[Candidate], server: str | None, rules: Rules, baud: int) -> int:
    from ota.narrate import Narrator, row, tell_results
    from ota.runner import update_one

    trusted = _server(home, server)
    narrator = Narrator(report)
    with narrator, ThreadPoolExecutor(len(candidates)) as pool:
        work = [pool.submit(update_one, home, one, trusted, rules, narrator, baud=baud) for one in candidates]
        try:
            results = [one.result() for one in work]
        except KeyboardInterrupt:
            report.say("Stopping: each terminal ends the step it is in.")
            narrator.stop()  # each terminal stops at its next step or byte; the next run goes on there
            results = [one.result() for one in work]
    tell_results(report, results)
    return report.result(worst(result.exit_code for result in results), ports=[row(result) for result in results])


def _server(home: Home, named: str | None) -> TrustedServer:
    from ota.trust import TrustStore

    store = TrustStore(home.path)
    return store.get(named) if named else store.only()


@command(ota, "verify", examples="utbench ota verify --port /dev/ttyUSB0\nutbench ota verify --all --expect 1004")
@ports_option
@all_option
@click.option("--expect", type=int, help="The payment version that must run. Without it: the model's newest.")
@baud_option
def verify(report: Report, home: Home, ports: tuple[str, ...], every: bool, expect: int | None, baud: int) -> int:
    """Read the payment version from the running terminal and from its screen (메뉴 → 단말 정보), and compare."""
    from devices.errors import UtbenchError
    from devices.profiles import profile
    from ota.target import SmpTarget
    from ota.verify import verify as verify_target

    codes, rows = [], []
    for candidate in _candidates(home, ports, every):
        try:
            target = SmpTarget(home, candidate, baud)
            try:
                identity = target.identity()
                expected = expect or profile(identity.model).new_release
                seen = verify_target(target)
            finally:
                target.close()
        except UtbenchError as error:
            report.error(error)
            codes.append(error.exit_code)
            rows.append({"port": candidate.port, "verified": False, "reason": error.message})
            continue
        proven = seen.proves(expected)
        codes.append(0 if proven else 1)
        verdict = "verified" if proven else "NOT verified"
        report.data(f"{identity.serial} ({identity.model}): {verdict}: {seen.explain(expected)}")
        rows.append(
            {
                "port": candidate.port,
                "model": identity.model,
                "serial": identity.serial,
                "payment_version": seen.running,
                "screen_version": seen.shown,
                "expected": expected,
                "verified": proven,
            }
        )
    return report.result(worst(codes), ports=rows)


@command(ota, "trust", examples="utbench ota trust world http://127.0.0.1:8200 --root root.json")
@click.argument("name")
@click.argument("url")
@click.option(
    "--root", "root_file", required=True, type=click.Path(exists=True, dir_okay=False), help="The publisher's TUF root."
)
@click.option("--metadata-url", metavar="URL", help="Where the TUF metadata is. Default: URL/tuf/metadata.")
@click.option("--tenant", default="DEFAULT", show_default=True, help="hawkBit's tenant.")
def trust(
    report: Report, home: Home, name: str, url: str, root_file: str, metadata_url: str | None, tenant: str
) -> int:
    """Trust an update server by its publisher's TUF root, got by another way than from the server itself."""
    from ota.trust import TrustStore

    server = TrustStore(home.path).pin(name, url, Path(root_file).read_bytes(), metadata_url, tenant)
    report.data(f"{server.name}: {server.url} is trusted from now on")
    report.event("trusted", name=server.name, url=server.url, metadata_url=server.metadata_url)
    return report.result(0)


@command(ota, "enrol", examples="utbench ota enrol --port /dev/ttyUSB0 --token-file token.txt")
@click.option("--port", metavar="PORT", help=PORT_HELP + " Without it: the only one attached.")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="The terminal's token at the server.",
)
@baud_option
def enrol(report: Report, home: Home, port: str | None, token_file: str, baud: int) -> int:
    """Store the token with which the agent speaks to the update server for the terminal at a port."""
    from devices import discovery
    from ota.trust import TokenStore

    with discovery.OpenTerminal(home, discovery.one(home, port).port, baud=baud) as terminal:
        identity = terminal.identity()
    try:
        token = Path(token_file).read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{token_file} is no text.", "Name the file that holds the terminal's token.") from None
    TokenStore(home.path).enrol(identity.controller_id, token)
    report.data(f"{identity.controller_id}: token stored")
    report.event("enrolled", controller_id=identity.controller_id)
    return report.result(0)
