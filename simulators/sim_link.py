"""`sim:ut-99l` and `sim:ut-77l@1013`: a terminal inside this process, for one command.

`sim:MODEL` keeps its state in HOME; `sim:MODEL@RELEASE` leaves the factory with that release, in a temporary
folder. Opening the same name again, as after a restart, finds the same terminal.
"""

from __future__ import annotations

import atexit
import queue
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from devices.errors import PortLost, UsageError
from devices.home import Home
from devices.profiles import profile

if TYPE_CHECKING:
    from simulators.device import SimulatedDevice

_running: dict[tuple[Path, str], tuple[SimulatedDevice, QueueFace]] = {}
_lock = threading.Lock()


class QueueFace:
    """A port of a device that never leaves the process; one link at a time is connected to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._link: SimLink | None = None

    def connect(self) -> SimLink:
        self._link = SimLink(self)
        return self._link

    def read(self, most: int = 0) -> bytes:
        del most
        return self.inbox.get()

    def waiting(self) -> bool:
        return not self.inbox.empty()

    def write(self, data: bytes) -> None:
        if self._link is not None:
            self._link.inbox.put(data)

    def replug(self) -> None:
        if self._link is not None:
            self._link.inbox.put(None)
            self._link = None

    def close(self) -> None:
        self.inbox.put(b"")
        self.replug()


class SimLink:
    """The other end of a `QueueFace`."""

    def __init__(self, face: QueueFace) -> None:
        self.name = face.name
        self.inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._face = face
        self._closed = False

    def read(self) -> bytes:
        data = self.inbox.get()
        if data is None:
            if self._closed:
                return b""
            raise PortLost(f"{self.name} went away.", "Run the same command again.")
        return data

    def write(self, data: bytes) -> None:
        if self._closed:
            raise PortLost(f"{self.name} is closed.")
        self._face.inbox.put(data)

    def close(self) -> None:
        self._closed = True
        self.inbox.put(None)


def open_sim(port: str, home: Home) -> SimLink:
    """`sim:MODEL` or `sim:MODEL@RELEASE`; raises `UsageError` for an unknown one, `PortBusy` if it runs elsewhere."""
    with _lock:
        key = (home.path, port)
        if key not in _running:
            _running[key] = _make(port, home)
        return _running[key][1].connect()


def _make(port: str, home: Home) -> tuple[SimulatedDevice, QueueFace]:
    from simulators.make import Order, make_device

    name, _, release = port.removeprefix("sim:").partition("@")
    if release and not release.isdigit():
        raise UsageError(f"{port!r} names no release.", "Write it as sim:ut-77l@1013.")
    model = profile(name).model
    if release:
        folder = tempfile.TemporaryDirectory(prefix="utbench-sim-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)
        home = Home(Path(folder.name))
    face = QueueFace(port)
    device = make_device(home, Order(model, int(release) if release else None), face=face)
    atexit.register(device.close)  # before the folder goes: the last registered is called first
    return device, face
