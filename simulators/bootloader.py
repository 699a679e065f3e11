"""The simulated device's bootloader: decides as MCUboot does which image runs. Pure over `Flash`.

    nothing asked            boot slot 0
    test, permanent          slot 1 valid: exchange the slots, boot the new image; else drop the request
    on trial, not confirmed  exchange back, boot the image before it
    exchange under way       finish it first
    slot 0 not valid         take slot 1, if that one is

Valid is what `check` accepts and whose security counter is not below the device's floor. The floor is
raised when an image becomes permanent here, or is confirmed in `slots.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from devices.errors import LocalProtocolError, UtbenchError
from ota.image import Image, ImageError
from simulators.flash import SECTOR_BYTES, WRITE_BYTES, Flash
from simulators.swap import (
    STATE_SECTORS,
    STEPS_PER_SECTOR,
    State,
    Swap,
    begin_swap,
    image_bytes,
    load_state,
    run_swap,
    save_state,
)

Check = Callable[[bytes], Image]
"""Parses and verifies one image; raises `ImageError`."""

SHIPPED_IMAGE_BYTES = 1024 * 1024


class NoBootableImage(UtbenchError):  # noqa: N818 - reads as what it says
    """Neither slot holds a valid image."""

    code = "no-bootable-image"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, in bytes: slot 0, slot 1, two sectors of state, the status area.

    The last sector of a slot is the spare one that moving needs, so an image has `image_bytes` of room.
    """

    slot_bytes: int
    sector_bytes: int = SECTOR_BYTES

    def __post_init__(self) -> None:
        if self.slot_bytes % self.sector_bytes or self.slot_bytes < 2 * self.sector_bytes:
            raise LocalProtocolError(
                f"A slot of {self.slot_bytes} bytes has no room for an image and a spare sector.",
                "Take whole sectors, at least two.",
            )

    @classmethod
    def shipped(cls) -> Layout:
        """Room for images of 1 MiB."""
        return cls(SHIPPED_IMAGE_BYTES + SECTOR_BYTES)

    @property
    def image_bytes(self) -> int:
        return self.slot_bytes - self.sector_bytes

    def slot_offset(self, slot: int) -> int:
        return slot * self.slot_bytes

    @property
    def state_offset(self) -> int:
        return 2 * self.slot_bytes

    @property
    def status_offset(self) -> int:
        return self.state_offset + STATE_SECTORS * self.sector_bytes

    @property
    def size_bytes(self) -> int:
        """The flash that this layout needs."""
        words = self.image_bytes // self.sector_bytes * STEPS_PER_SECTOR
        return self.status_offset + -(-words * WRITE_BYTES // self.sector_bytes) * self.sector_bytes


@dataclass(frozen=True, slots=True)
class Booted:
    """What runs now. `swapped`: this boot began or finished an exchange; `reverted`: it was one back to the image
    before; `confirmed`: not on trial; `reason`: a sentence for the boot log.
    """

    image: Image
    swapped: bool
    reverted: bool
    confirmed: bool
    reason: str


_REASONS: Final = {
    Swap.NONE: "The image in slot 0 is the one to boot.",
    Swap.TEST: "The new image is in place for a trial; it goes back at the next boot unless it is confirmed.",
    Swap.PERMANENT: "The new image is in place to stay.",
    Swap.REVERT: "The image on trial was not confirmed; the one before it is in place again.",
}


def boot(flash: Flash, layout: Layout, check: Check) -> Booted:
    """Power on: finish, exchange, go back or leave alone, and say which image runs.

    Raises `NoBootableImage` only where neither slot holds a valid image. A power cut during it leaves a flash
    on which the next `boot` goes on.
    """
    return _Boot(flash, layout, check).run()


@dataclass(slots=True)
class _Boot:
    flash: Flash
    layout: Layout
    check: Check
    state: State = field(default_factory=State)

    def run(self) -> Booted:
        self.state, reason = load_state(self.flash, self.layout), ""
        if self.state.swap is Swap.NONE:
            reason = self._decide()
        kind = self.state.swap
        if kind is not Swap.NONE:
            self._finish()
        image = self._valid(0)
        if isinstance(image, str):
            image = self._rescue(image)
            kind, reason = Swap.PERMANENT, "Slot 0 held no valid image; the one in slot 1 took its place."
        return Booted(
            image=image,
            swapped=kind is not Swap.NONE,
            reverted=kind is Swap.REVERT,
            confirmed=not self.state.trial,
            reason=reason or _REASONS[kind],
        )

    def _decide(self) -> str:
        """Begin the exchange that is due, or drop a request that must not be granted; why, where nothing begins."""
        if not self.state.trial and self.state.request is Swap.NONE:
            return ""
        other = self._valid(1)
        if self.state.trial:
            if isinstance(other, str):
                return f"The image on trial stays, for there is nothing to go back to. {other}"
            self._begin(Swap.REVERT, other)
            return ""
        if isinstance(other, Image) and other.digest != self.state.digest:
            other = "It is not the image that was asked for."
        if isinstance(other, str):
            self._save(replace(self.state, request=Swap.NONE, digest=bytes(32)))
            return f"The image in slot 1 was refused and its request dropped. {other}"
        self._begin(self.state.request, other)
        return ""

    def _begin(self, kind: Swap, other: Image) -> None:
        """Only the sectors of the bigger image move; what is no image in slot 0 need not be kept whole."""
        running = self._valid(0)
        size = max(other.size, running.size if isinstance(running, Image) else 0)
        self.state = begin_swap(self.flash, self.layout, self.state, kind, -(-size // self.layout.sector_bytes))

    def _finish(self) -> None:
        run_swap(self.flash, self.layout, self.state.sectors)
        kind, floor = self.state.swap, self.state.floor
        if kind is Swap.PERMANENT:
            image = self._valid(0)
            floor = image.security_counter if isinstance(image, Image) else floor
        self._save(replace(self.state, floor=floor, swap=Swap.NONE, sectors=0, trial=kind is Swap.TEST))

    def _rescue(self, why: str) -> Image:
        other = self._valid(1)
        if isinstance(other, str):
            raise NoBootableImage(
                f"The device has no image that it may boot. Slot 0: {why} Slot 1: {other}",
                "Make the device anew; its flash was damaged from outside.",
            )
        self._begin(Swap.PERMANENT, other)
        self._finish()
        image = self._valid(0)
        if isinstance(image, str):
            raise NoBootableImage(f"The image from slot 1 did not arrive whole. {image}", "Make the device anew.")
        return image

    def _save(self, state: State) -> None:
        self.state = save_state(self.flash, self.layout, state)

    def _valid(self, slot: int) -> Image | str:
        """The image in `slot`, or the sentence that says why it must not run."""
        data = image_bytes(self.flash, self.layout, slot)
        if data is None:
            return "There is no image."
        try:
            image = self.check(data)
        except ImageError as error:
            return error.message
        if image.security_counter < self.state.floor:
            return f"Its security counter {image.security_counter} is below {self.state.floor}, this device's floor."
        return image
