"""Time as something that is passed in.

Transport time (time-outs, retransmission) is always real: `monotonic_s`. Business time
(vouchers, sessions, dates on pages) belongs to the world and can be moved: `BusinessClock`.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

KST = dt.timezone(dt.timedelta(hours=9), "KST")


class Clock(Protocol):
    """Business time: an aware datetime in KST."""

    def now(self) -> dt.datetime: ...


class BusinessClock:
    """A clock that runs with real time from where it was last set; `set` may move it either way."""

    def __init__(self, at: dt.datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._at = (at or dt.datetime.now(KST)).astimezone(KST)
        self._since = time.monotonic()
        self._listeners: list[Callable[[], None]] = []

    def listen(self, moved: Callable[[], None]) -> None:
        """Call `moved` whenever the time was set, so that who waits for a moment may look again."""
        self._listeners.append(moved)

    def now(self) -> dt.datetime:
        with self._lock:
            return self._at + dt.timedelta(seconds=time.monotonic() - self._since)

    def set(self, at: dt.datetime) -> None:
        with self._lock:
            self._at = at.astimezone(KST)
            self._since = time.monotonic()
        for moved in self._listeners:
            moved()


class FixedClock:
    """The public fake: stands still until `set`."""

    def __init__(self, at: dt.datetime) -> None:
        self._at = at

    def now(self) -> dt.datetime:
        return self._at

    def set(self, at: dt.datetime) -> None:
        self._at = at


def monotonic_s() -> float:
    """Transport time in seconds; only differences mean anything."""
    return time.monotonic()
