"""The live table of an update: a row per terminal that says at any second what it does and whether to wait.

`rows` is pure; `LiveTable` redraws them in place on a terminal, several times a second, so that silent
steps show a heartbeat too.
"""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from devices.clock import monotonic_s
from ota.agent import Step

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from ota.runner import Beat

REDRAW_S = 0.2
HEARTBEAT = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
DOING = {
    Step.IDENTIFY: "asking who it is",
    Step.PREFLIGHT: "checking battery, payments, disk",
    Step.POLL: "asking the server",
    Step.RESOLVE: "checking signatures",
    Step.DOWNLOAD: "downloading",
    Step.TRANSFER: "sending to the terminal",
    Step.READ_BACK: "reading back",
    Step.MARK: "marking for a test boot",
    Step.RESTART: "restarting",
    Step.VERIFY: "verifying version and screen",
    Step.ROLL_BACK: "going back to the old image",
    Step.GIVE_WAY: "letting the image on trial go back",
    Step.CONFIRM: "keeping the new image",
    Step.REPORT: "reporting",
    Step.DONE: "done",
}


@dataclass(frozen=True, slots=True)
class Doing:
    """What one terminal does, since when (transport seconds)."""

    beat: Beat
    since_s: float


def rows(all_doing: Iterable[Doing], now_s: float, cols: int) -> list[str]:
    """One line per terminal, none longer than `cols`: who, versions, step, bytes, rate, time left or taken so far."""
    return [_row(doing, now_s)[: max(20, cols - 1)] for doing in all_doing]


def _row(doing: Doing, now_s: float) -> str:
    beat = doing.beat
    update = beat.update
    taken_s = max(0.0, now_s - doing.since_s)
    version = f"{update.from_version or '?'}→{update.to_version or '?'}"
    head = f"{update.serial or beat.port:<14} {version:<10} {DOING[beat.step]:<32}"
    if beat.step is Step.DONE:
        return f"  {head} {update.outcome.value if update.outcome else ''}"
    mark = HEARTBEAT[int(now_s / REDRAW_S) % len(HEARTBEAT)]
    if not beat.total:
        return f"{mark} {head} {taken_s:.0f} s so far"
    rate = beat.done / taken_s if taken_s > 0.05 else 0.0
    left = f"{(beat.total - beat.done) / rate:.0f} s left" if rate else ""
    percent = 100 * beat.done // beat.total
    return f"{mark} {head} {percent:3} % of {beat.total / 1024:,.0f} KiB  {rate / 1024:5,.0f} KiB/s  {left}"


class LiveTable:
    """Redraws itself on stderr until it is left; then its rows stay as they were last."""

    def __init__(self) -> None:
        self._doing: dict[str, Doing] = {}
        self._lock = threading.Lock()
        self._drawn = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="live table", daemon=True)

    def show(self, beat: Beat) -> None:
        """A terminal keeps its row when its port gets another name, as after a restart."""
        who = beat.update.serial or beat.port
        with self._lock:
            known = self._doing.get(who) or self._doing.get(beat.port)
            if who != beat.port:
                self._doing.pop(beat.port, None)
            same_step = known is not None and known.beat.step is beat.step
            self._doing[who] = Doing(beat, known.since_s if known is not None and same_step else monotonic_s())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._draw()

    def _redraw(self) -> None:
        while not self._over.wait(REDRAW_S):
            self._draw()

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        with self._lock:
            lines = rows(self._doing.values(), monotonic_s(), size.columns)[: size.lines - 1]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        sys.stderr.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines))
        sys.stderr.flush()
        self._drawn = len(lines)
