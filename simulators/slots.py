"""What the running firmware does with its two slots: list, upload, mark, confirm. The SMP image group speaks to this.

Slot 0 runs. Slot 1 takes uploads, except while slot 0 is on trial: then it holds the way back and is
left alone. Names and flags are those of MCUmgr's image state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from devices.errors import LocalProtocolError, UtbenchError
from devices.groups import SlotState
from ota.image import ImageError, parse
from simulators.flash import ERASED, SECTOR_BYTES, WRITE_BYTES
from simulators.swap import State, Swap, image_bytes, load_state, save_state

if TYPE_CHECKING:
    from simulators.bootloader import Layout
    from simulators.flash import Flash


class SlotErrorKind(StrEnum):
    NO_IMAGE = "no-image"
    ALREADY_PENDING = "already-pending"
    NOT_VALID = "not-valid"
    NOTHING_TO_CONFIRM = "nothing-to-confirm"
    ACTIVE = "active"
    ON_TRIAL = "on-trial"
    TOO_LARGE = "too-large"


class SlotError(UtbenchError):
    """The slots are not in the state that the request needs; `kind` says which of the reasons it is."""

    code = "slot"

    def __init__(self, kind: SlotErrorKind, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Known:
    version: str
    digest: bytes
    security_counter: int


@dataclass(slots=True)
class _Upload:
    """`tail` is what has come and does not yet fill a write unit."""

    size: int
    sha: bytes | None
    offset: int = 0
    tail: bytes = b""
    finished: bool = False


class Slots:
    """One at a time and from one thread; it need not be the only writer, the bootloader may work in between."""

    def __init__(self, flash: Flash, layout: Layout) -> None:
        self._flash = flash
        self._layout = layout
        self._upload: _Upload | None = None
        self._writes = 0
        self._known: dict[int, tuple[tuple[int, int], _Known | None]] = {}

    def read_image(self, slot: int) -> bytes | None:
        """The bytes of the image in `slot` (0 or 1) by its header, unchecked; None where there is none (yet)."""
        if slot == 1 and self._upload and not self._upload.finished:
            return None
        return image_bytes(self._flash, self._layout, slot)

    def state(self) -> tuple[SlotState, ...]:
        """The slots that hold an undamaged image, slot 0 first."""
        state = load_state(self._flash, self._layout)
        found = ((slot, self._image(slot, state)) for slot in (0, 1))
        return tuple(_slot_state(slot, known, state) for slot, known in found if known is not None)

    def _image(self, slot: int, state: State) -> _Known | None:
        """Parsed once for each content: our writes are counted, and an exchange leaves a new sequence number."""
        content = (self._writes, state.sequence)
        cached = self._known.get(slot)
        if cached is not None and cached[0] == content:
            return cached[1]
        data, known = self.read_image(slot), None
        if data is not None:
            try:
                image = parse(data)
                known = _Known(image.version, image.digest, image.security_counter)
            except ImageError:
                known = None
        self._known[slot] = (content, known)
        return known

    @property
    def offset(self) -> int:
        """How many bytes of the upload have come; stays at its size once it is finished, 0 without any."""
        return self._upload.offset if self._upload else 0

    def uploading(self) -> bool:
        """Bytes are still to come."""
        return self._upload is not None and self._upload.offset < self._upload.size

    def begin(self, size: int, sha: bytes | None = None) -> None:
        """Make slot 1 ready for `size` bytes and drop a pending request.

        The same size and SHA-256 (32 bytes, of the whole upload) as the upload under way goes on at `offset`.
        Raises `SlotError` (on trial, too large).
        """
        if not 0 < size <= self._layout.image_bytes:
            raise SlotError(
                SlotErrorKind.TOO_LARGE,
                f"An image of {size:,} bytes does not fit; the slot has room for {self._layout.image_bytes:,}.",
                "Use an image that was made for this model.",
            )
        under_way = self._upload
        if under_way and not under_way.finished and sha is not None and (under_way.size, under_way.sha) == (size, sha):
            return
        self._erase(size)
        self._upload = _Upload(size, sha)

    def write(self, offset: int, data: bytes) -> None:
        """Take the next bytes; `LocalProtocolError` where they are not next, or more than was announced."""
        upload = self._upload
        if upload is None or upload.finished:
            raise LocalProtocolError("No upload is under way.", "Begin one first.")
        if offset != upload.offset or offset + len(data) > upload.size:
            raise LocalProtocolError(
                f"{len(data)} bytes at {offset} are not what comes next; {upload.offset} of {upload.size} are there.",
                "Go on at the offset that the slot names.",
            )
        have = upload.tail + data
        whole = len(have) - len(have) % WRITE_BYTES
        self._program(upload.offset - len(upload.tail), have[:whole])
        upload.tail = have[whole:]
        upload.offset += len(data)

    def finish(self) -> bool:
        """Write the tail. True if the slot's bytes have the SHA-256 that was announced (or none was).

        Raises `LocalProtocolError` while bytes are missing.
        """
        upload = self._upload
        if upload is None or upload.offset != upload.size:
            raise LocalProtocolError("The upload is not complete.", "Go on at the offset that the slot names.")
        if not upload.finished:
            padding = ERASED * (-len(upload.tail) % WRITE_BYTES)
            self._program(upload.offset - len(upload.tail), upload.tail + padding)
            upload.tail, upload.finished = b"", True
        content = self._flash.read(self._layout.slot_offset(1), upload.size)
        return upload.sha is None or hashlib.sha256(content).digest() == upload.sha

    def _program(self, offset: int, data: bytes) -> None:
        self._writes += 1  # also for no data: finishing alone makes an image of what is there
        start = self._layout.slot_offset(1) + offset
        for at in range(0, len(data), SECTOR_BYTES):
            self._flash.write(start + at, data[at : at + SECTOR_BYTES])

    def erase(self) -> None:
        """Empty slot 1, with a pending request and an upload under way. Raises `SlotError` (on trial)."""
        self._erase(self._layout.slot_bytes)

    def _erase(self, size: int) -> None:
        state = self._not_on_trial()
        if state.request is not Swap.NONE:
            save_state(self._flash, self._layout, replace(state, request=Swap.NONE, digest=bytes(32)))
        self._upload = None
        self._writes += 1
        start = self._layout.slot_offset(1)
        for offset in range(start, start + size, self._layout.sector_bytes):
            self._flash.erase(offset)

    def mark_test(self, digest: bytes) -> None:
        """Boot the image in slot 1 once; unless it is confirmed, the next boot goes back.

        Asking again changes nothing. Raises `SlotError` (no image, not valid, active, on trial, already pending:
        for good).
        """
        self._mark(digest, Swap.TEST)

    def mark_permanent(self, digest: bytes) -> None:
        """Boot the image in slot 1 and keep it; also raises what was a test. Raises `SlotError` as `mark_test`."""
        self._mark(digest, Swap.PERMANENT)

    def _mark(self, digest: bytes, kind: Swap) -> None:
        state = self._not_on_trial()
        self._require_candidate(digest, state)
        if (state.request, state.digest) == (kind, digest):
            return
        if state.request is Swap.PERMANENT:
            raise SlotError(
                SlotErrorKind.ALREADY_PENDING,
                "The image in slot 1 is already marked to be booted for good.",
                "Reset the terminal, or erase slot 1 to drop the request.",
            )
        save_state(self._flash, self._layout, replace(state, request=kind, digest=digest))

    def _require_candidate(self, digest: bytes, state: State) -> None:
        running, other = self._image(0, state), self._image(1, state)
        if running is not None and running.digest == digest:
            raise SlotError(SlotErrorKind.ACTIVE, "That image is the running one.", "Confirm it instead of marking it.")
        if other is not None and other.digest == digest:
            return
        if other is None and self.read_image(1) is not None:
            raise SlotError(SlotErrorKind.NOT_VALID, "The image in slot 1 is damaged.", "Upload it again.")
        raise SlotError(SlotErrorKind.NO_IMAGE, "No slot holds an image with that hash.", "Upload it first.")

    def confirm(self) -> None:
        """Keep the running image and raise the floor to its counter; harmless where it is confirmed already.

        Raises `SlotError` (nothing to confirm) where slot 0 holds no undamaged image.
        """
        state = load_state(self._flash, self._layout)
        running = self._image(0, state)
        if running is None:
            raise SlotError(
                SlotErrorKind.NOTHING_TO_CONFIRM, "Slot 0 holds no undamaged image.", "Upload an image and mark it."
            )
        floor = max(state.floor, running.security_counter)
        if state.trial or floor != state.floor:
            save_state(self._flash, self._layout, replace(state, trial=False, floor=floor))

    def _not_on_trial(self) -> State:
        state = load_state(self._flash, self._layout)
        if state.trial:
            raise SlotError(
                SlotErrorKind.ON_TRIAL,
                "The running image is on trial; slot 1 holds the way back.",
                "Confirm the running image, or reset the terminal to go back.",
            )
        return state


def _slot_state(slot: int, known: _Known, state: State) -> SlotState:
    """On trial it is the image in slot 1 that is confirmed, as MCUmgr says it."""
    pending = slot == 1 and state.request is not Swap.NONE and state.digest == known.digest
    return SlotState(
        slot=slot,
        version=known.version,
        digest=known.digest,
        bootable=True,
        pending=pending,
        confirmed=(slot == 1) == state.trial,
        active=slot == 0,
        permanent=pending and state.request is Swap.PERMANENT,
    )


def provision(flash: Flash, layout: Layout, image: bytes) -> None:
    """The factory: `image` in slot 0, confirmed, all else blank. Raises `ImageError`, or `SlotError` (too large)."""
    parsed = parse(image)
    data = image[: parsed.size]
    if parsed.size > layout.image_bytes:
        raise SlotError(SlotErrorKind.TOO_LARGE, "The image does not fit into slot 0.", "Use one made for this model.")
    for offset in range(0, layout.size_bytes, layout.sector_bytes):
        flash.erase(offset)
    data += ERASED * (-len(data) % WRITE_BYTES)
    for at in range(0, len(data), SECTOR_BYTES):
        flash.write(layout.slot_offset(0) + at, data[at : at + SECTOR_BYTES])
    save_state(flash, layout, State(floor=parsed.security_counter))
