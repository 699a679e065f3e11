"""`utbench demo`: the main job from end to end, narrated."""

from __future__ import annotations

import contextlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from devices.commands.shell import guarded
from devices.errors import UtbenchError
from devices.home import Home
from devices.report import Report
from simulators.operator import get_json

if TYPE_CHECKING:
    from devices.discovery import Candidate
    from devices.groups import Screen
    from ota.runner import Result
    from simulators.payment_demo import Paid

BAUD = 921_600
EPILOG = "\b\nExamples:\n  utbench demo\n  utbench demo --json"


@click.command(epilog=EPILOG)
@click.option("--json", "json_lines", is_flag=True, help="JSON lines on stdout.")
@click.option("--baud", default=BAUD, show_default=True, help="Speed of the terminals' lines (0: as fast as it goes).")
def demo(json_lines: bool, baud: int) -> int:
    """The main job: three simulated terminals under their old release are updated over serial and verified as
    1004, 1014 and 1021; then a retroactive payment is made by card on the UT-99L's own pages.

    Everything in it is real: ports, HTTP, signatures, flash, ledger. It runs in a temporary home and leaves
    nothing behind. Exit code 0 only if all of it held.
    """
    report = Report(json_lines=json_lines)
    return guarded(report, lambda: _demo(report, baud))


def _demo(report: Report, baud: int) -> int:
    from simulators.child import WorldChild

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="utbench-demo-", ignore_cleanup_errors=True))
        home = Home(Path(folder))
        report.say("Starting the world: voucher host, update server, three terminals under their old release …")
        world = stack.enter_context(WorldChild(home, "--baud", str(baud), "--at", "2026-01-05T10:00"))
        for serial, port in world.ready["ports"].items():
            report.say(f"  {serial} at {port}")
        report.say(f"  voucher host {world.ready['host']}, update server {world.ready['updates']}")
        results = _update(report, home)
        proven = all(result.update.verified for result in results) and len(results) == len(world.ready["ports"])
        paid = _pay(report, home) if proven else None
        held = paid is not None and _books_agree(report, world.ready["host"], paid)
        return _sum_up(report, results, paid, ok=proven and held)


def _update(report: Report, home: Home) -> list[Result]:
    from devices import discovery
    from ota.narrate import Narrator, tell_results
    from ota.plan import Rules
    from ota.runner import update_one
    from ota.trust import TrustStore

    report.say("\nUpdating all three over serial, at once …")
    trusted, narrator = TrustStore(home.path).only(), Narrator(report)
    ports = discovery.candidates(home)

    def work(candidate: Candidate) -> Result:
        return update_one(home, candidate, trusted, Rules(), narrator, baud=115_200)

    with narrator, ThreadPoolExecutor(len(ports)) as pool:
        running = [pool.submit(work, candidate) for candidate in ports]
        try:
            results = [one.result() for one in running]
        except KeyboardInterrupt:
            narrator.stop()
            raise
    tell_results(report, results)
    return results


def _pay(report: Report, home: Home) -> Paid:
    from devices import discovery
    from simulators.payment_demo import pay_retroactively

    report.say("\nPaying on the UT-99L's own pages, which its new release has: 발달재활 070101, 소급결제, 15,000원 …")
    port = next(one.port for one in discovery.candidates(home) if one.serial.startswith("UT99L"))

    def tell(page: str, screen: Screen) -> None:
        report.say(f"  {page}")
        if screen.screen == "done":
            report.say("\n".join(f"    │ {line}" for line in screen.lines if line.strip()))

    with discovery.OpenTerminal(home, port) as terminal:
        return pay_retroactively(terminal, tell)


def _books_agree(report: Report, host: str, paid: Paid) -> bool:
    """The ledger must say what the page says."""
    vouchers: list[dict[str, Any]] = get_json(f"{host}/sim/vouchers")
    held = next(one["balance_won"] for one in vouchers if one["program"] == "070101" and one["recipient"] == "rec-1")
    report.say(f"  the host's ledger says {held:,}원, the page says {paid.balance_won:,}원")
    if held != paid.balance_won:
        raise UtbenchError("The page and the ledger do not agree.", "Please report this.")
    return True


def _sum_up(report: Report, results: list[Result], paid: Paid | None, *, ok: bool) -> int:
    report.data(f"\n{'MODEL':<8} {'FROM':<6} {'TO':<6} {'VERIFIED':<10} TIME")
    for result in results:
        update = result.update
        seen = "yes" if update.verified else "NO"
        report.data(
            f"{update.model:<8} {update.from_version:<6} {update.to_version:<6} {seen:<10} {result.seconds:.1f} s"
        )
    payments = []
    if paid is not None:
        report.data(
            f"070101 카드 소급결제 {paid.amount_won:,}원 → 잔액 {paid.balance_won:,}원, 승인번호 {paid.approval_no}"
        )
        payments.append(
            {
                "program": "070101",
                "means": "card",
                "kind": "retro",
                "amount_won": paid.amount_won,
                "balance_won": paid.balance_won,
                "approval_no": paid.approval_no,
            }
        )
    report.data("All of it held." if ok else "It did NOT hold; see above.")
    updates = [
        {
            "model": result.update.model,
            "from": result.update.from_version,
            "to": result.update.to_version,
            "verified": result.update.verified,
            "seconds": round(result.seconds, 1),
        }
        for result in results
    ]
    return report.result(0 if ok else 1, updates=updates, payments=payments)
