"""What the flash remembers beside the images, and the exchange of the two slots.

The trailer is our own. Two sectors hold state records, the newest valid one counts: a record is appended
in one write, and when its sector is full the other one is erased, so the newest is never at risk; a torn
record fails its CRC and is passed over. A status area holds one write-once word for each step of an
exchange. Both outlive any number of cuts because no word is ever written twice.

The exchange is MCUboot's "swap using move" (`docs/design.md`): slot 0 moves up by one sector, last sector
first; then each sector of slot 1 goes down to slot 0 and the moved one above it goes to slot 1. No step
destroys what the step itself reads, so the one that was cut is done again from its start.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from ota.image import HEADER_BYTES, TLV_INFO_MAGIC, ImageError, measure
from simulators.flash import ERASED, WRITE_BYTES

if TYPE_CHECKING:
    from simulators.bootloader import Layout
    from simulators.flash import Flash

RECORD_BYTES = 64
STATE_SECTORS = 2
STEPS_PER_SECTOR = 3
_MAGIC = 0x31535455  # "UTS1"; no byte of it is 0xFF, so a record that was begun is seen
_BODY = struct.Struct("<IIIBBBxI32s")  # magic, sequence, floor, request, swap, trial, sectors, digest
_CRC = struct.Struct("<I")
_WORD = struct.Struct("<II")
_WORD_MIX = 0x5A5A5A5A
_TLV_INFO = struct.Struct("<HH")


class Swap(IntEnum):
    """What is asked for, or under way. The numbers are in the flash."""

    NONE = 0
    TEST = 1
    PERMANENT = 2
    REVERT = 3


@dataclass(frozen=True, slots=True)
class State:
    """`floor` is the security counter below which no image is booted; `request` and `digest` name what slot 1
    is to do at the next boot; `swap` and `sectors` an exchange under way; `trial`: slot 0 is not confirmed.
    """

    sequence: int = 0
    floor: int = 0
    request: Swap = Swap.NONE
    digest: bytes = bytes(32)
    swap: Swap = Swap.NONE
    sectors: int = 0
    trial: bool = False


def load_state(flash: Flash, layout: Layout) -> State:
    """The newest valid record; a blank trailer is a confirmed slot 0 without any floor."""
    return _newest(flash, layout)[0]


def save_state(flash: Flash, layout: Layout, state: State) -> State:
    """Append `state` as the newest record; it holds entirely or not at all. Returns it with its sequence number."""
    newest, sector, used = _newest(flash, layout)
    state = replace(state, sequence=newest.sequence + 1)
    if used == layout.sector_bytes // RECORD_BYTES:
        sector, used = 1 - sector, 0
        flash.erase(layout.state_offset + sector * layout.sector_bytes)
    flash.write(layout.state_offset + sector * layout.sector_bytes + used * RECORD_BYTES, _encode(state))
    return state


def _newest(flash: Flash, layout: Layout) -> tuple[State, int, int]:
    """The newest state, its sector, and how many records of that sector are begun."""
    found = (State(), 0, 0)
    for sector in range(STATE_SECTORS):
        data = flash.read(layout.state_offset + sector * layout.sector_bytes, layout.sector_bytes)
        used = -(-len(data.rstrip(ERASED)) // RECORD_BYTES)
        if sector == 0:
            found = (State(), 0, used)
        for at in reversed(range(used)):
            state = _decode(data[at * RECORD_BYTES : (at + 1) * RECORD_BYTES])
            if state is not None:
                if state.sequence > found[0].sequence:
                    found = (state, sector, used)
                break
    return found


def _encode(state: State) -> bytes:
    body = _BODY.pack(
        _MAGIC, state.sequence, state.floor, state.request, state.swap, state.trial, state.sectors, state.digest
    ).ljust(RECORD_BYTES - _CRC.size, b"\0")
    return body + _CRC.pack(zlib.crc32(body))


def _decode(record: bytes) -> State | None:
    body, crc = record[: -_CRC.size], record[-_CRC.size :]
    if _CRC.pack(zlib.crc32(body)) != crc:
        return None
    magic, sequence, floor, request, swap, trial, sectors, digest = _BODY.unpack_from(body)
    if magic != _MAGIC:
        return None
    return State(sequence, floor, Swap(request), digest, Swap(swap), sectors, bool(trial))


def begin_swap(flash: Flash, layout: Layout, state: State, kind: Swap, sectors: int) -> State:
    """Make the status area blank, then say that the first `sectors` of both slots are being exchanged."""
    used_bytes = sectors * STEPS_PER_SECTOR * WRITE_BYTES
    for offset in range(layout.status_offset, layout.status_offset + used_bytes, layout.sector_bytes):
        flash.erase(offset)
    return save_state(flash, layout, replace(state, request=Swap.NONE, digest=bytes(32), swap=kind, sectors=sectors))


def run_swap(flash: Flash, layout: Layout, sectors: int) -> None:
    """Do what is left of the exchange; may be cut anywhere and called again."""
    size = layout.sector_bytes
    status, low, high = layout.status_offset, layout.slot_offset(0), layout.slot_offset(1)
    for step in range(_steps_done(flash, layout, sectors), sectors * STEPS_PER_SECTOR):
        at, back = divmod(step - sectors, 2)
        if step < sectors:
            target = low + (sectors - step) * size
            source = target - size
        elif back:
            source, target = low + (at + 1) * size, high + at * size
        else:
            source, target = high + at * size, low + at * size
        flash.erase(target)
        flash.write(target, flash.read(source, size))
        flash.write(status + step * WRITE_BYTES, _word(step))


def _word(step: int) -> bytes:
    return _WORD.pack(step, step ^ _WORD_MIX)


def _steps_done(flash: Flash, layout: Layout, sectors: int) -> int:
    """A word is begun only when its step has ended, so a torn word counts as much as a whole one."""
    area = flash.read(layout.status_offset, sectors * STEPS_PER_SECTOR * WRITE_BYTES)
    for step in reversed(range(-(-len(area.rstrip(ERASED)) // WRITE_BYTES))):
        word = area[step * WRITE_BYTES : (step + 1) * WRITE_BYTES]
        wanted = int.from_bytes(_word(step), "little")
        if word != ERASED * WRITE_BYTES and int.from_bytes(word, "little") & wanted == wanted:
            return step + 1
    return 0


def image_bytes(flash: Flash, layout: Layout, slot: int) -> bytes | None:
    """The bytes from header to last TLV as the header in `slot` (0 or 1) announces them; None without any."""
    start = layout.slot_offset(slot)
    try:
        body = measure(flash.read(start, HEADER_BYTES))
    except ImageError:
        return None
    if body + _TLV_INFO.size > layout.image_bytes:
        return None
    magic, tlvs = _TLV_INFO.unpack(flash.read(start + body, _TLV_INFO.size))
    if magic != TLV_INFO_MAGIC or body + tlvs > layout.image_bytes:
        return None
    return flash.read(start, body + tlvs)
