"""What boots, and what the firmware may do with its slots."""

from __future__ import annotations

import functools
import hashlib
import random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from devices.errors import LocalProtocolError
from ota.build import build
from ota.image import Image, ImageError, parse, verify
from simulators.bootloader import Booted, Layout, NoBootableImage, boot
from simulators.flash import SECTOR_BYTES, MemoryFlash
from simulators.slots import SlotError, SlotErrorKind, Slots, provision

if TYPE_CHECKING:
    from devices.groups import SlotState

LAYOUT = Layout(9 * SECTOR_BYTES)
KEY = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()


@functools.cache
def image(number: int, counter: int = 1, size: int = 9000, *, stranger: bool = False) -> bytes:
    """Image 1.0.<number>; its payload is random and its own."""
    key = STRANGER if stranger else KEY
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    payload = random.Random(number).randbytes(size)
    return build(payload, version=f"1.0.{number}", key_pem=pem, security_counter=counter)


@functools.cache
def check(data: bytes) -> Image:
    found = parse(data)
    verify(found, KEY.public_key())
    return found


class StrictFlash(MemoryFlash):
    """As parts with ECC: a word of 8 bytes takes one write between two erases, even of the same bits."""

    def write(self, offset: int, data: bytes) -> None:
        assert self.read(offset, len(data)) == b"\xff" * len(data)
        super().write(offset, data)


class Device:
    """A provisioned device; `slots` is new at each boot, as the firmware is."""

    def __init__(self, first: bytes) -> None:
        self.flash = StrictFlash(LAYOUT.size_bytes)
        provision(self.flash, LAYOUT, first)
        self.slots = Slots(self.flash, LAYOUT)

    def boot(self) -> Booted:
        booted = boot(self.flash, LAYOUT, check)
        self.slots = Slots(self.flash, LAYOUT)
        return booted

    def upload(self, data: bytes, chunk: int = 1003) -> bytes:
        """Returns the digest by which the image is marked."""
        self.slots.begin(len(data), hashlib.sha256(data).digest())
        for at in range(0, len(data), chunk):
            self.slots.write(at, data[at : at + chunk])
        assert self.slots.finish()
        return parse(data).digest

    def damage(self, slot: int) -> None:
        self.flash.erase(LAYOUT.slot_offset(slot) + SECTOR_BYTES)


def refused(kind: SlotErrorKind) -> pytest.RaisesExc[SlotError]:
    return pytest.raises(SlotError, check=lambda error: error.kind is kind)


def test_a_provisioned_device_boots_its_image() -> None:
    """Fresh from the factory, the device boots slot 0 and holds it for confirmed."""
    booted = Device(image(1)).boot()
    assert (booted.image.version, booted.swapped, booted.reverted, booted.confirmed) == ("1.0.1", False, False, True)


def test_an_image_on_trial_goes_unless_confirmed() -> None:
    """A tested image runs once; without a word from it the next boot brings the old one back, byte for byte."""
    device = Device(image(1))
    device.slots.mark_test(device.upload(image(2, size=20000)))
    tried = device.boot()
    assert (tried.image.version, tried.swapped, tried.reverted, tried.confirmed) == ("1.0.2", True, False, False)
    back = device.boot()
    assert (back.image.version, back.swapped, back.reverted, back.confirmed) == ("1.0.1", True, True, True)
    assert device.slots.read_image(0) == image(1)
    assert device.slots.read_image(1) == image(2, size=20000)
    assert device.boot().swapped is False


def test_a_confirmed_image_stays() -> None:
    """Once confirmed, and however often, the new image boots from then on."""
    device = Device(image(1, size=30000))
    device.slots.mark_test(device.upload(image(2)))
    device.boot()
    device.slots.confirm()
    device.slots.confirm()
    after = device.boot()
    assert (after.image.version, after.swapped, after.confirmed) == ("1.0.2", False, True)


def test_a_permanent_image_needs_no_confirmation() -> None:
    """An image marked permanent is confirmed from its first boot on."""
    device = Device(image(1))
    device.slots.mark_permanent(device.upload(image(2)))
    assert device.boot().confirmed is True
    assert device.boot().image.version == "1.0.2"


@pytest.mark.parametrize("size", [1, 4096 - 32, 8 * 4096 - 300])
def test_images_of_any_size_change_places(size: int) -> None:
    """From one sector up to all the room there is, either image may be the bigger one."""
    device = Device(image(1, size=9000))
    device.slots.mark_test(device.upload(image(2, size=size)))
    assert device.boot().image.digest == parse(image(2, size=size)).digest
    assert device.boot().image.version == "1.0.1"


def test_an_image_by_a_stranger_is_refused() -> None:
    """A request for an image of an unknown key is dropped with its reason, and the device runs on."""
    device = Device(image(1))
    device.slots.mark_permanent(device.upload(image(2, stranger=True)))
    booted = device.boot()
    assert (booted.image.version, booted.swapped) == ("1.0.1", False)
    assert "another key" in booted.reason
    assert not device.slots.state()[1].pending
    assert "another key" not in device.boot().reason


def test_the_floor_bars_older_counters_for_good() -> None:
    """After a confirmation, images with a lower security counter are refused, equal ones are not."""
    device = Device(image(1, counter=1))
    device.slots.mark_test(device.upload(image(2, counter=5)))
    device.boot()
    device.slots.confirm()
    device.slots.mark_permanent(device.upload(image(3, counter=4)))
    assert "counter 4 is below 5" in device.boot().reason
    device.slots.mark_permanent(device.upload(image(4, counter=5)))
    assert device.boot().image.version == "1.0.4"


def test_a_permanent_image_raises_the_floor() -> None:
    """An image that came to stay bars the ones below it without any confirmation."""
    device = Device(image(1, counter=1))
    device.slots.mark_permanent(device.upload(image(2, counter=3)))
    device.boot()
    device.slots.mark_test(parse(image(1, counter=1)).digest)
    assert "below 3" in device.boot().reason


def test_a_trial_raises_no_floor() -> None:
    """An image with a higher counter that was not confirmed does not bar the way back."""
    device = Device(image(1, counter=1))
    device.slots.mark_test(device.upload(image(2, counter=9)))
    device.boot()
    assert device.boot().image.version == "1.0.1"


def test_what_was_marked_is_what_must_boot() -> None:
    """A request names an image by its hash; another valid one in its place is not booted."""
    device = Device(image(1))
    device.slots.mark_permanent(device.upload(image(2)))
    other = Device(image(1))
    other.upload(image(3))
    start, end = LAYOUT.slot_offset(1), LAYOUT.slot_offset(1) + LAYOUT.slot_bytes
    for at in range(start, end, SECTOR_BYTES):
        device.flash.erase(at)
        device.flash.write(at, other.flash.read(at, SECTOR_BYTES))
    booted = device.boot()
    assert (booted.image.version, booted.swapped) == ("1.0.1", False)
    assert "not the image that was asked for" in booted.reason


def test_a_damaged_slot_0_is_rescued_by_slot_1() -> None:
    """Where slot 0 is not valid and slot 1 is, the device takes that one, and stays on it."""
    device = Device(image(1))
    device.upload(image(2))
    device.damage(0)
    booted = device.boot()
    assert (booted.image.version, booted.swapped, booted.confirmed) == ("1.0.2", True, True)
    assert device.boot().swapped is False


def test_without_any_valid_image_nothing_boots() -> None:
    """Only where both slots are bad does the bootloader give up, naming both."""
    device = Device(image(1))
    device.damage(0)
    with pytest.raises(NoBootableImage, match=r"Slot 0: .*Slot 1: There is no image"):
        device.boot()
    device.upload(image(2, stranger=True))
    with pytest.raises(NoBootableImage, match="another key"):
        device.boot()


def test_a_trial_without_a_way_back_stays() -> None:
    """Where the old image is gone, the one on trial is better than none."""
    device = Device(image(1))
    device.slots.mark_test(device.upload(image(2)))
    device.boot()
    device.damage(1)
    booted = device.boot()
    assert (booted.image.version, booted.confirmed) == ("1.0.2", False)
    assert "nothing to go back to" in booted.reason


@pytest.mark.parametrize("junk", [b"", bytes(32), b"\x3d\xb8\xf3\x96" + b"\xfe" * 60])
def test_junk_in_slot_1_harms_nothing(junk: bytes) -> None:
    """Bytes that are no image, or announce more than the slot holds, are no image."""
    device = Device(image(1))
    device.slots.begin(64)
    device.slots.write(0, junk)
    assert device.slots.read_image(1) is None
    assert len(device.slots.state()) == 1
    assert device.boot().image.version == "1.0.1"


def test_the_shipped_geometry() -> None:
    """Images of 1 MiB, and one spare sector a slot."""
    layout = Layout.shipped()
    assert (layout.image_bytes, layout.slot_bytes) == (1 << 20, (1 << 20) + 4096)
    assert layout.size_bytes == 2 * layout.slot_bytes + 4 * 4096
    with pytest.raises(LocalProtocolError):
        Layout(5000)


def flags(state: tuple[SlotState, ...]) -> list[str]:
    words = ("active", "confirmed", "pending", "permanent")
    return [" ".join([one.version, *(word for word in words if getattr(one, word))]) for one in state]


def test_the_flags_are_those_of_mcumgr() -> None:
    """Through an update each slot shows the flags that MCUmgr shows, right after every step."""
    device = Device(image(1))
    assert flags(device.slots.state()) == ["1.0.1 active confirmed"]
    digest = device.upload(image(2))
    assert flags(device.slots.state()) == ["1.0.1 active confirmed", "1.0.2"]
    device.slots.mark_test(digest)
    assert flags(device.slots.state()) == ["1.0.1 active confirmed", "1.0.2 pending"]
    device.slots.mark_permanent(digest)
    assert flags(device.slots.state()) == ["1.0.1 active confirmed", "1.0.2 pending permanent"]
    device.upload(image(3))
    assert flags(device.slots.state()) == ["1.0.1 active confirmed", "1.0.3"]
    device.slots.mark_test(parse(image(3)).digest)
    before = device.slots
    device.boot()
    assert flags(device.slots.state()) == flags(before.state()) == ["1.0.3 active", "1.0.1 confirmed"]
    device.slots.confirm()
    assert flags(device.slots.state()) == ["1.0.3 active confirmed", "1.0.1"]
    device.slots.erase()
    assert flags(device.slots.state()) == ["1.0.3 active confirmed"]


def test_why_an_image_is_not_marked() -> None:
    """Marking names its reason: no such image, the running one, a damaged one, one that is there for good."""
    device = Device(image(1))
    for mark in (device.slots.mark_test, device.slots.mark_permanent):
        with refused(SlotErrorKind.NO_IMAGE):
            mark(bytes(32))
        with refused(SlotErrorKind.ACTIVE):
            mark(parse(image(1)).digest)
    digest = device.upload(image(2))
    device.slots.mark_test(digest)
    device.slots.mark_test(digest)
    device.slots.mark_permanent(digest)
    with refused(SlotErrorKind.ALREADY_PENDING):
        device.slots.mark_test(digest)
    damaged = bytearray(image(3))
    damaged[5000] ^= 1
    device.slots.begin(len(damaged))
    device.slots.write(0, bytes(damaged))
    device.slots.finish()
    with refused(SlotErrorKind.NOT_VALID):
        device.slots.mark_test(parse(image(3)).digest)


def test_on_trial_the_way_back_is_kept() -> None:
    """While the running image is on trial, slot 1 takes no upload, no erase and no mark."""
    device = Device(image(1))
    device.slots.mark_test(device.upload(image(2)))
    device.boot()
    with refused(SlotErrorKind.ON_TRIAL):
        device.slots.begin(100)
    with refused(SlotErrorKind.ON_TRIAL):
        device.slots.erase()
    with refused(SlotErrorKind.ON_TRIAL):
        device.slots.mark_test(parse(image(1)).digest)
    assert device.boot().image.version == "1.0.1"


def test_nothing_to_confirm() -> None:
    """Without an undamaged image in slot 0 there is nothing to confirm."""
    device = Device(image(1))
    device.damage(0)
    with refused(SlotErrorKind.NOTHING_TO_CONFIRM):
        Slots(device.flash, LAYOUT).confirm()


@pytest.mark.parametrize("chunk", [1, 7, 8, 512, 4096, 5000, 100_000])
def test_an_upload_in_chunks_of_any_length(chunk: int) -> None:
    """What was sent is what is in the slot, however it was cut up."""
    data = image(2, size=9000)
    device = Device(image(1))
    device.upload(data, chunk)
    assert device.slots.read_image(1) == data


def test_the_list_is_right_after_every_write() -> None:
    """Asked between any two chunks, the list shows the new image once its last byte is there, and not before."""
    data, device = image(2, size=9001), Device(image(1))
    assert len(data) % 8
    device.slots.begin(len(data))
    for at in range(0, len(data), 1000):
        assert len(device.slots.state()) == 1
        device.slots.write(at, data[at : at + 1000])
    assert len(device.slots.state()) == 1
    device.slots.finish()
    assert [one.version for one in device.slots.state()] == ["1.0.1", "1.0.2"]


def test_an_upload_goes_on_where_it_stopped() -> None:
    """Begun again with the same size and hash, an upload keeps its offset; with others it starts anew."""
    data, device = image(2), Device(image(1))
    sha = hashlib.sha256(data).digest()
    device.slots.begin(len(data), sha)
    device.slots.write(0, data[:4001])
    device.slots.begin(len(data), sha)
    assert device.slots.offset == 4001
    device.slots.write(4001, data[4001:])
    assert device.slots.finish()
    assert device.slots.finish()
    assert device.slots.offset == len(data)
    device.slots.begin(len(data), sha)
    assert device.slots.offset == 0
    assert device.slots.read_image(1) is None
    for size, other in ((len(data), None), (len(data), None), (len(data), bytes(32)), (len(data) - 1, bytes(32))):
        device.slots.write(0, data[:100])
        device.slots.begin(size, other)
        assert device.slots.offset == 0


def test_an_upload_in_the_wrong_order_is_refused() -> None:
    """Bytes that are not next, too many, too early or too late are refused, and nothing is written."""
    data, device = image(2), Device(image(1))
    for step in (lambda: device.slots.write(0, data), device.slots.finish):
        with pytest.raises(LocalProtocolError):
            step()
    device.slots.begin(len(data))
    for offset, piece in ((8, b"12345678"), (0, data + b"x")):
        with pytest.raises(LocalProtocolError):
            device.slots.write(offset, piece)
    with pytest.raises(LocalProtocolError):
        device.slots.finish()
    device.slots.write(0, data)
    assert device.slots.finish()
    with pytest.raises(LocalProtocolError):
        device.slots.write(len(data), b"")


def test_other_bytes_than_announced_are_told() -> None:
    """An upload whose bytes do not have the announced hash says so at its end."""
    device = Device(image(1))
    device.slots.begin(16, bytes(32))
    device.slots.write(0, bytes(16))
    assert device.slots.finish() is False


@pytest.mark.parametrize("size", [0, -1, LAYOUT.image_bytes + 1])
def test_what_does_not_fit_is_not_begun(size: int) -> None:
    """A size that no image can have is refused, and what slot 1 holds stays."""
    device = Device(image(1))
    device.upload(image(2))
    with refused(SlotErrorKind.TOO_LARGE):
        device.slots.begin(size)
    assert device.slots.read_image(1) == image(2)


def test_the_factory_writes_only_images_that_fit() -> None:
    """What is no image, or too big, is not provisioned."""
    flash = MemoryFlash(LAYOUT.size_bytes)
    with pytest.raises(ImageError):
        provision(flash, LAYOUT, b"no image")
    with refused(SlotErrorKind.TOO_LARGE):
        provision(flash, LAYOUT, image(1, size=LAYOUT.image_bytes))
