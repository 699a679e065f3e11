"""What the agent needs of a terminal, and that as SMP does it.

`Target` is the whole of it: a terminal that speaks something else becomes updatable by another class
with these methods.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from devices import discovery
from devices.clock import monotonic_s
from devices.errors import NoAnswer, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.discovery import Candidate
    from devices.groups import Identity, Screen, SlotState, Status
    from devices.home import Home

RESTART_TIMEOUT_S = 90.0


class Target(Protocol):
    """One terminal, from before its restart to after it. All calls block and raise `UtbenchError`."""

    @property
    def port(self) -> str: ...

    def identity(self) -> Identity: ...

    def status(self) -> Status: ...

    def slots(self) -> tuple[SlotState, ...]: ...

    def write(self, image: bytes, sha: bytes, progress: Callable[[int], None]) -> None:
        """Write `image` into the other slot, going on where an earlier attempt stopped."""

    def mark(self, digest: bytes) -> None:
        """Boot that image next, for a test."""

    def confirm(self) -> None:
        """Keep the image that runs."""

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Restart it and find it again, wherever its port is now; `meanwhile` may raise to end the search."""

    def press(self, key: str) -> Screen: ...

    def touch(self, label: str) -> Screen: ...

    def screen(self) -> Screen: ...

    def close(self) -> None: ...


class SmpTarget:
    """Over SMP. The port is locked from construction to `close`, but for the moment of a restart."""

    def __init__(self, home: Home, candidate: Candidate, baud: int) -> None:
        self._home = home
        self._candidate = candidate
        self._baud = baud
        self._terminal = discovery.OpenTerminal(home, candidate.port, baud=baud)

    @property
    def port(self) -> str:
        return self._terminal.port

    def identity(self) -> Identity:
        return self._terminal.identity()

    def status(self) -> Status:
        return self._terminal.status()

    def slots(self) -> tuple[SlotState, ...]:
        return self._terminal.slots()

    def write(self, image: bytes, sha: bytes, progress: Callable[[int], None]) -> None:
        self._terminal.upload(image, sha, progress=progress)

    def mark(self, digest: bytes) -> None:
        self._terminal.mark(digest)

    def confirm(self) -> None:
        self._terminal.confirm()

    def restart(self, meanwhile: Callable[[], None]) -> None:
        serial = self._terminal.identity().serial
        up_s = self._up_s()
        asked_s = monotonic_s()
        self._terminal.reset()
        self._terminal.close()
        until = asked_s + RESTART_TIMEOUT_S
        while monotonic_s() < until:
            left_s = max(0.1, until - monotonic_s())
            self._terminal = discovery.find_again(
                self._home, self._candidate, serial, timeout_s=left_s, baud=self._baud, meanwhile=meanwhile
            )
            with contextlib.suppress(Unreachable):  # it goes down under us: look again
                now_up_s = self._up_s()
                if up_s is None or now_up_s is None:
                    return
                started_s = monotonic_s() - now_up_s
                if started_s > asked_s - min(0.5, up_s / 2):  # not the start of before, however short ago that was
                    return
            self._terminal.close()
        raise NoAnswer(f"The terminal {serial} took the reset, but did not restart.", "Switch it off and on.")

    def _up_s(self) -> float | None:
        up_ms = self._terminal.status().uptime_ms
        return None if up_ms is None else up_ms / 1000

    def press(self, key: str) -> Screen:
        return self._terminal.press(key)

    def touch(self, label: str) -> Screen:
        return self._terminal.touch(label)

    def screen(self) -> Screen:
        return self._terminal.screen()

    def close(self) -> None:
        self._terminal.close()
