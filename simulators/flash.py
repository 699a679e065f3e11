"""NOR flash as the simulated device sees it, and the power cut.

A sector is erased to 0xFF as a whole; a write can only clear bits, so what is to hold new content must
be erased first. Every erase and every write goes through one object, so `CutFlash` can take the power
away at any of them and leave nothing, half or all of that operation behind.
"""

from __future__ import annotations

import mmap
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from devices.durable import DiskError, save_bytes
from devices.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECTOR_BYTES = 4096  # the usual erase unit of serial NOR flash
WRITE_BYTES = 8  # MCUboot's alignment on parts with a 64-bit write unit
ERASED = b"\xff"
_BLANK = ERASED * SECTOR_BYTES


class Flash(Protocol):
    """Offsets and lengths in bytes. What breaks a rule raises `LocalProtocolError` and changes nothing."""

    @property
    def sector_bytes(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Any offset, any length inside the flash."""

    def erase(self, offset: int) -> None:
        """Set the one sector that starts at `offset` to 0xFF."""

    def write(self, offset: int, data: bytes) -> None:
        """At most one sector's length, offset and length in multiples of 8; may only clear bits."""


class MemoryFlash:
    """Kept as one immutable `bytes` a sector: a snapshot copies pointers, so millions of cuts can be tried."""

    sector_bytes = SECTOR_BYTES

    def __init__(self, size: int) -> None:
        _check_size(size)
        self.size_bytes = size
        self._sectors = [_BLANK] * (size // SECTOR_BYTES)

    def snapshot(self) -> tuple[bytes, ...]:
        """The content, one item a sector; hashable, and good for `load` on a flash of the same size."""
        return tuple(self._sectors)

    def load(self, snapshot: Sequence[bytes]) -> None:
        if len(snapshot) != len(self._sectors):
            raise LocalProtocolError("The snapshot is of a flash of another size.", "Load it into one of its own size.")
        self._sectors = list(snapshot)

    def read(self, offset: int, length: int) -> bytes:
        _check_read(self.size_bytes, offset, length)
        first, start = divmod(offset, SECTOR_BYTES)
        if start + length <= SECTOR_BYTES:
            return self._sectors[first][start : start + length] if length else b""
        last = (offset + length - 1) // SECTOR_BYTES
        return b"".join(self._sectors[first : last + 1])[start : start + length]

    def erase(self, offset: int) -> None:
        _check_erase(self.size_bytes, offset)
        self._sectors[offset // SECTOR_BYTES] = _BLANK

    def write(self, offset: int, data: bytes) -> None:
        _check_write(self.size_bytes, offset, data)
        at, start = divmod(offset, SECTOR_BYTES)
        if len(data) == SECTOR_BYTES and not start and self._sectors[at] is _BLANK:
            self._sectors[at] = bytes(data)
            return
        _check_clears(self.read(offset, len(data)), data)
        while data:
            piece, data = data[: SECTOR_BYTES - start], data[SECTOR_BYTES - start :]
            old = self._sectors[at]
            self._sectors[at] = old[:start] + piece + old[start + len(piece) :]
            at, start = at + 1, 0


class FileFlash:
    """Flash in a file of exactly `size` bytes, made erased where it is missing.

    The file is mapped, so what was written before the process was killed is there for the next one.
    Raises `DiskError` where the file cannot be made or opened, or has another size.
    """

    sector_bytes = SECTOR_BYTES

    def __init__(self, path: Path, size: int) -> None:
        _check_size(size)
        self.size_bytes = size
        if not path.exists():
            save_bytes(path, ERASED * size)
        try:
            with path.open("r+b") as file:
                found = file.seek(0, 2)
                if found != size:
                    raise DiskError(
                        f"The flash file {path} has {found:,} bytes; this device has {size:,}.",
                        "It belongs to another version of the device: move it away, and a new one is made.",
                    )
                self._map = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise DiskError(
                f"The flash file {path} could not be opened: {error.strerror or error}.",
                "Check the rights of the file and its folder.",
            ) from error

    def close(self) -> None:
        """Put everything on the disk and let the file go; closing twice is harmless."""
        if not self._map.closed:
            self._map.flush()
            self._map.close()

    def read(self, offset: int, length: int) -> bytes:
        _check_read(self.size_bytes, offset, length)
        return self._map[offset : offset + length]

    def erase(self, offset: int) -> None:
        _check_erase(self.size_bytes, offset)
        self._map[offset : offset + SECTOR_BYTES] = _BLANK

    def write(self, offset: int, data: bytes) -> None:
        _check_write(self.size_bytes, offset, data)
        _check_clears(self._map[offset : offset + len(data)], data)
        self._map[offset : offset + len(data)] = data


class PowerCut(Exception):  # noqa: N818 - an event of the simulation, not a fault that a person reads
    """The power is gone: the operation under way is torn, and nothing works until `CutFlash.restore`."""


class Torn(StrEnum):
    """How much of the operation at which the power was cut is found afterwards."""

    NOTHING = "nothing"
    HALF = "half"
    ALL = "all"


class CutFlash:
    """Passes everything on to `inner` and cuts the power at erase or write number `cut_at` (from 0; None: never)."""

    def __init__(self, inner: Flash, cut_at: int | None, torn: str = Torn.NOTHING) -> None:
        self._inner = inner
        self.restore(cut_at, torn)

    def restore(self, cut_at: int | None = None, torn: str = Torn.NOTHING) -> None:
        """Power again; operations count from 0 anew, and the next cut may be named."""
        self.operations = 0
        self._cut_at = cut_at
        self._torn = Torn(torn)
        self._off = False

    @property
    def sector_bytes(self) -> int:
        return self._inner.sector_bytes

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        if self._off:
            raise PowerCut
        return self._inner.read(offset, length)

    def erase(self, offset: int) -> None:
        if not self._cuts_now():
            self._inner.erase(offset)
            return
        old = self._inner.read(offset, self.sector_bytes)
        half = self.sector_bytes // 2
        if self._torn is not Torn.NOTHING:
            self._inner.erase(offset)
        if self._torn is Torn.HALF:
            self._inner.write(offset + half, old[half:])
        raise PowerCut

    def write(self, offset: int, data: bytes) -> None:
        if not self._cuts_now():
            self._inner.write(offset, data)
            return
        half = len(data) // 2
        if self._torn is Torn.HALF:
            self._inner.write(offset, data[:half] + self._inner.read(offset + half, len(data) - half))
        elif self._torn is Torn.ALL:
            self._inner.write(offset, data)
        raise PowerCut

    def _cuts_now(self) -> bool:
        if self._off:
            raise PowerCut
        self._off = self.operations == self._cut_at
        self.operations += 1
        return self._off


def _check_size(size: int) -> None:
    if size <= 0 or size % SECTOR_BYTES:
        raise LocalProtocolError(f"A flash of {size} bytes is no whole number of sectors.", "Take a multiple of 4096.")


def _check_read(size: int, offset: int, length: int) -> None:
    if offset < 0 or length < 0 or offset + length > size:
        raise LocalProtocolError(f"A read of {length} bytes at {offset} leaves the flash.", "Stay inside its size.")


def _check_erase(size: int, offset: int) -> None:
    if offset % SECTOR_BYTES or not 0 <= offset < size:
        raise LocalProtocolError(f"No sector starts at {offset}.", "Erase at the start of a sector inside the flash.")


def _check_write(size: int, offset: int, data: bytes) -> None:
    length = len(data)
    if offset < 0 or offset + length > size:
        raise LocalProtocolError(f"A write of {length} bytes at {offset} leaves the flash.", "Stay inside its size.")
    if length > SECTOR_BYTES or (offset | length) % WRITE_BYTES:
        raise LocalProtocolError(
            f"A write of {length} bytes at {offset} is not one that the flash can do.",
            "Write at most 4096 bytes, offset and length in multiples of 8.",
        )


def _check_clears(old: bytes, new: bytes) -> None:
    if old.count(ERASED) == len(old):
        return
    wanted = int.from_bytes(new, "little")
    if int.from_bytes(old, "little") & wanted != wanted:
        raise LocalProtocolError("The flash is not erased where it is to be written.", "Erase the sector first.")
