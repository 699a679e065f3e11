"""What every `utbench sim` command shares: announce on the first line, run until told to stop, then clean up."""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from devices.clock import KST
from devices.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devices.report import Report


def run_until_stopped(report: Report, first_line: str, *, until_eof: bool, **fields: Any) -> int:
    """Print `first_line` (or a `ready` line), then wait for Ctrl-C, SIGTERM or the end of stdin."""
    report.data(first_line)
    report.event("ready", **fields)
    stop = threading.Event()
    with _on_signals(stop):
        if until_eof:
            threading.Thread(target=_wait_for_eof, args=(stop,), daemon=True).start()
        else:
            report.say("Running; Ctrl-C stops it.")
        while not stop.wait(3600):
            pass
    return report.result(0)


def _wait_for_eof(stop: threading.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.buffer.read(4096):
            pass
    stop.set()


@contextlib.contextmanager
def _on_signals(stop: threading.Event) -> Iterator[None]:
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, lambda _number, _frame: stop.set()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def business_time(text: str | None) -> dt.datetime | None:
    """`--at`: an ISO time, taken as Korean where it names no zone."""
    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time.", "Write it as 2026-01-05T10:00:00+09:00.") from None
    return at if at.tzinfo else at.replace(tzinfo=KST)
