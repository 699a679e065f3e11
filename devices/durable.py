"""Files that are either the old content or the new one, whatever dies in between."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from devices.errors import UtbenchError

if TYPE_CHECKING:
    from pathlib import Path


class DiskError(UtbenchError):
    """The disk is full, read-only, or the folder may not be written."""

    code = "disk"


def save_bytes(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Write beside, fsync, replace, fsync the folder. `secret` files are 0600 from their first byte."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if not secret and sys.platform != "win32":
                os.chmod(name, 0o644)  # noqa: PTH101 - mkstemp made it 0600
            os.replace(name, path)  # noqa: PTH105 - one call, atomic on every platform
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise DiskError(
            f"{path} could not be written: {error.strerror or error}.",
            "Free some room or check the rights of the folder, then run the same command again.",
        ) from error


def save_json(path: Path, value: Any, *, secret: bool = False) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    save_bytes(path, text.encode() + b"\n", secret=secret)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (POSIX; Windows does so by itself)."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
