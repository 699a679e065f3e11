"""A link carries bytes to one terminal and back. `open_link` finds the right one for a port's name.

| port | link |
|---|---|
| `/dev/ttyUSB0`, `COM3`, `rfc2217://host:port` | pyserial (`devices/serial_link.py`) |
| `socket://host:port` | a raw socket (`devices/tcp_link.py`) |
| `sim:ut-99l`, `sim:ut-77l@1013`, others | who registered the scheme in the entry-point group `utbench.links` |
"""

from __future__ import annotations

import queue
import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from devices.errors import PortLost, UsageError

if TYPE_CHECKING:
    from devices.home import Home

LINK_GROUP = "utbench.links"
DEFAULT_BAUD = 115_200
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")


class Link(Protocol):
    """One open line. `read` is called by one thread only, which blocks there; `write` by any."""

    name: str

    def read(self) -> bytes:
        """Block until bytes come; `b""` once closed; `PortLost` when the other end is gone."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


def open_link(port: str, home: Home, *, baud: int = DEFAULT_BAUD) -> Link:
    """Open a port by name; `home` is where a simulated one keeps its state.

    Raises `PortNotFound`, `PortBusy`, `PortDenied` or `UsageError`.
    """
    match = _SCHEME.match(port)
    scheme = match[1] if match else ""
    if scheme == "socket":
        from devices.tcp_link import TcpLink

        return TcpLink(port)
    if scheme in ("", "rfc2217", "loop", "spy", "hwgrep", "alt"):
        from devices.serial_link import SerialLink

        return SerialLink(port, baud)
    for entry in entry_points(group=LINK_GROUP, name=scheme):
        opened: Link = entry.load()(port, home)
        return opened
    raise UsageError(
        f"{port!r} is no port that utbench knows.",
        "Name a serial port, socket://HOST:PORT, rfc2217://HOST:PORT or sim:MODEL; `utbench device list` shows ports.",
    )


class MemoryLink:
    """The public fake: two of them back to back, without any system underneath."""

    def __init__(
        self, name: str, inbox: queue.SimpleQueue[bytes | None], outbox: queue.SimpleQueue[bytes | None]
    ) -> None:
        self.name = name
        self._inbox = inbox
        self._outbox = outbox
        self._closed = False

    @classmethod
    def pair(cls, name: str = "memory") -> tuple[MemoryLink, MemoryLink]:
        one: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        two: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        return cls(name, one, two), cls(name, two, one)

    def read(self) -> bytes:
        data = self._inbox.get()
        if data is None:
            if self._closed:
                return b""
            raise PortLost(f"{self.name} is gone.", "Attach it again and run the same command.")
        return data

    def write(self, data: bytes) -> None:
        if self._closed:
            raise PortLost(f"{self.name} is closed.")
        self._outbox.put(data)

    def close(self) -> None:
        """End both reads: ours with nothing, the other's with `PortLost`."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
            self._outbox.put(None)
