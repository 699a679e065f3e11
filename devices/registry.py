"""The simulated devices that run now: one JSON file each in `HOME/run/devices/`.

Ptys are in no port list, so this is how discovery finds them. A device holds a lock beside its file
for as long as it lives: a file whose lock is free belongs to a dead process and is cleared away.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from devices.durable import save_json
from devices.errors import PortBusy
from devices.lock import FileLock

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Registered:
    """`port` is what to open: it changes when the device resets as a USB device does; `serial` stays."""

    serial: str
    model: str
    port: str
    pid: int


class Registration:
    """A running device's own entry; `close` takes it away. `PortBusy` if that device already runs."""

    def __init__(self, run: Path, serial: str, model: str) -> None:
        self._folder = run / "devices"
        self._serial = serial
        self._model = model
        self._lock = FileLock(self._folder / f"{serial}.lock", f"The simulated device {serial}", "Stop it first.")

    def announce(self, port: str) -> None:
        save_json(self._path, asdict(Registered(self._serial, self._model, port, os.getpid())))

    def withdraw(self) -> None:
        """Not to be found for a while, as an unplugged device."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        self.withdraw()
        self._lock.close()

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._serial}.json"


def running(run: Path) -> list[Registered]:
    """All simulated devices that live, by serial number."""
    found = []
    for path in sorted((run / "devices").glob("*.json")):
        try:
            entry = Registered(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # taken away or replaced between listing and reading
        if _alive(path):
            found.append(entry)
        else:
            path.unlink(missing_ok=True)
    return found


def _alive(path: Path) -> bool:
    try:
        FileLock(path.with_suffix(".lock"), "").close()
    except PortBusy:
        return True
    return False
