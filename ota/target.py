"""What the agent needs of a terminal, and that as SMP does it.

`Target` is the whole of it: a terminal that speaks something else becomes updatable by another class
with these methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from devices import discovery
from devices.clock import monotonic_s
from devices.errors import NoAnswer

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

    def restart(self) -> None:
        """Restart it and find it again, wherever its port is now."""

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

    def restart(self) -> None:
        serial = self._terminal.identity().serial
        uptime_ms = self._terminal.status().uptime_ms
        self._terminal.reset()
        self._terminal.close()
        until = monotonic_s() + RESTART_TIMEOUT_S
        while True:
            left_s = max(0.1, until - monotonic_s())
            terminal = discovery.find_again(self._home, self._candidate, serial, timeout_s=left_s, baud=self._baud)
            now_ms = terminal.status().uptime_ms
            if uptime_ms is None or now_ms is None or now_ms < uptime_ms:
                self._terminal = terminal
                return
            terminal.close()  # it has not gone down yet
            if monotonic_s() >= until:
                raise NoAnswer(f"The terminal {serial} took the reset, but did not restart.", "Switch it off and on.")

    def press(self, key: str) -> Screen:
        return self._terminal.press(key)

    def touch(self, label: str) -> Screen:
        return self._terminal.touch(label)

    def screen(self) -> Screen:
        return self._terminal.screen()

    def close(self) -> None:
        self._terminal.close()
