"""What the agent does, told as it happens: a live table on a screen, lines elsewhere, JSON for rigs."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self

from devices.clock import monotonic_s
from devices.errors import EXIT_INTERRUPTED, EXIT_REFUSED, UtbenchError
from ota.agent import Outcome, Step
from ota.live import DOING, LiveTable

if TYPE_CHECKING:
    from types import TracebackType

    from devices.report import Report
    from ota.runner import Beat, Result

EACH_PERCENT = 10


class Interrupted(UtbenchError):  # noqa: N818 - a person's wish, not a fault
    exit_code = EXIT_INTERRUPTED
    code = "interrupted"


class Narrator:
    """Hears the beats of all terminals, from their threads. Use it as a context: on a screen it is a live table."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._table = LiveTable() if sys.stderr.isatty() else None
        self._since_s: dict[str, float] = {}
        self._percent: dict[str, int] = {}

    def __enter__(self) -> Self:
        if self._table is not None:
            self._table.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._table is not None:
            self._table.__exit__(kind, error, tb)

    def stop(self) -> None:
        """Make every terminal's thread end at its next beat."""
        self._stopped.set()

    def __call__(self, beat: Beat) -> None:
        if self._stopped.is_set():
            raise Interrupted("Interrupted.", "Run the same command again: it goes on where it stopped.")
        if self._table is not None:
            self._table.show(beat)
        with self._lock:
            if beat.total:
                self._bytes(beat)
            elif beat.step is not Step.DONE and not beat.waiting:
                self._new_step(beat)

    def _new_step(self, beat: Beat) -> None:
        update = beat.update
        self._since_s[beat.port] = monotonic_s()
        self._percent[beat.port] = 0
        self._report.event("step", port=beat.port, model=update.model, serial=update.serial, step=beat.step.value)
        self._say(beat, DOING[beat.step])

    def _bytes(self, beat: Beat) -> None:
        percent = 100 * beat.done // beat.total
        if percent < self._percent.get(beat.port, 0) + EACH_PERCENT and beat.done < beat.total:
            return
        self._percent[beat.port] = percent
        seconds = max(0.001, monotonic_s() - self._since_s.get(beat.port, 0.0))
        rate = int(beat.done / seconds)
        self._report.event(
            "progress", port=beat.port, step=beat.step.value, done=beat.done, total=beat.total, bytes_per_s=rate
        )
        self._say(beat, f"{percent:3} % of {beat.total:,} bytes, {rate / 1024:,.0f} KiB/s")

    def _say(self, beat: Beat, text: str) -> None:
        """Line by line where there is no screen to redraw."""
        if self._table is None:
            self._report.say(f"{beat.update.serial or beat.port}: {text}")


def row(result: Result) -> dict[str, object]:
    """One terminal's entry of the final `result` line."""
    update = result.update
    return {
        "port": result.port,
        "model": update.model,
        "serial": update.serial,
        "from": update.from_version,
        "to": update.to_version or update.from_version,
        "verified": update.verified,
        "outcome": update.outcome.value if update.outcome else "",
        "reason": update.reason,
        "overrides": list(update.overrides),
        "registered_at_power_on": update.registered,
        "report_waits": result.unsent,
        "seconds": round(result.seconds, 1),
    }


HEADINGS = {
    Outcome.UPDATED: "updated",
    Outcome.UP_TO_DATE: "up to date",
    Outcome.NOTHING: "nothing to do",
    Outcome.CANCELLED: "cancelled",
    Outcome.REFUSED: "refused",
    Outcome.FAILED: "FAILED",
    Outcome.PLANNED: "would update",
}


def tell_results(report: Report, results: list[Result]) -> None:
    """A table for people; for each terminal that something stopped an `error` line, and the same on stderr."""
    report.data(f"{'TERMINAL':<14} {'MODEL':<8} {'FROM':<6} {'TO':<6} {'RESULT':<14} {'TIME':<7} {'PORT':<14} WHY")
    for result in results:
        update = result.update
        heading = HEADINGS[update.outcome or Outcome.FAILED]
        if result.error is not None and result.error.exit_code != EXIT_REFUSED:
            heading = "stopped" if isinstance(result.error, Interrupted) else "FAILED"
        why = "; ".join([result.error.message if result.error else update.reason, *update.overrides])
        if result.unsent:
            why += "; the server has not heard of it yet: run the same command again when it can be reached"
        report.data(
            f"{update.serial or result.port:<14} {update.model:<8} {update.from_version or '':<6} "
            f"{update.to_version or '':<6} {heading:<14} {f'{result.seconds:.1f} s':<7} {result.port:<14} {why}"
        )
        if result.error is not None:
            error = result.error
            report.event("error", port=result.port, code=error.code, message=error.message, hint=error.hint)
            report.say(f"utbench: {update.serial or result.port}: {error}")
