"""One holder at a time: an advisory lock on a file, released by the system when its holder dies."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Self

from devices.durable import DiskError
from devices.errors import PortBusy

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class FileLock:
    """Held from construction to `close`; `PortBusy` names the pid of the present holder.

    The file keeps the pid of its last holder and is never deleted: deleting it would let two
    processes lock two different files of the same name.
    """

    def __init__(self, path: Path, what: str, hint: str = "Close the other program, or wait until it is done.") -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DiskError(
                f"{path.parent} cannot be used: {error.strerror or error}.", "Check its rights, or name another --home."
            ) from error
        if not _try_lock(self._fd):
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            by = f" by process {holder}" if holder else ""
            raise PortBusy(f"{what} is in use{by}.", hint)
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, str(os.getpid()).encode())

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def lock_name(port: str) -> str:
    """A file name for a port: `/dev/ttyUSB0` → `dev-ttyUSB0`."""
    return re.sub(r"[^A-Za-z0-9._@]+", "-", port).strip("-") + ".lock"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            os.lseek(fd, 1 << 20, os.SEEK_SET)  # beyond the pid, which others may read
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
