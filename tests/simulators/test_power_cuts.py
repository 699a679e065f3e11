"""The power cut at every operation of update, revert and confirm; the device always boots what was promised."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ota.build import build
from ota.image import Image, ImageError, parse
from simulators.bootloader import Booted, Layout, boot
from simulators.flash import SECTOR_BYTES, CutFlash, FileFlash, Flash, MemoryFlash, PowerCut, Torn
from simulators.slots import SlotError, SlotErrorKind, Slots, provision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Snapshot = tuple[bytes, ...]
SHIPPED = Layout.shipped()
SMALL = Layout(17 * SECTOR_BYTES)  # 16 sectors of image and the spare one

BLANK = b"\xff" * SECTOR_BYTES

OLD = (("old", True),) * 3
NEW = (("new", True),) * 3
TRIAL = (("new", False), ("old", True), ("old", True))


class StrictFlash(MemoryFlash):
    """As parts with ECC: what was written once since its erase, torn or not, takes no second write."""

    def write(self, offset: int, data: bytes) -> None:
        assert self.read(offset, len(data)) == BLANK[: len(data)]
        super().write(offset, data)


@dataclass(frozen=True, eq=False)
class Bench:
    """Two images that fit one layout, the old one in slot 0 and running, the new one uploaded to slot 1."""

    layout: Layout
    old: bytes
    new: bytes
    uploaded: Snapshot

    def check(self, data: bytes) -> Image:
        """Exactly one of the two images: whatever is mixed, torn or shifted is refused."""
        for image in (self.old, self.new):
            if data == image:
                return parsed(image)
        raise ImageError("A mix of images.")

    def boot(self, flash: Flash) -> Booted:
        return boot(flash, self.layout, self.check)

    def mark_test(self, flash: Flash) -> None:
        Slots(flash, self.layout).mark_test(parsed(self.new).digest)

    def mark_permanent(self, flash: Flash) -> None:
        Slots(flash, self.layout).mark_permanent(parsed(self.new).digest)

    def confirm(self, flash: Flash) -> None:
        Slots(flash, self.layout).confirm()

    def flash(self, snapshot: Snapshot) -> MemoryFlash:
        flash = StrictFlash(self.layout.size_bytes)
        flash.load(snapshot)
        return flash

    @functools.cache  # noqa: B019 - two benches a process; a boot is a function of the flash alone
    def booted(self, snapshot: Snapshot) -> tuple[str, bool, Snapshot]:
        flash = self.flash(snapshot)
        result = self.boot(flash)
        return ("old" if result.image is parsed(self.old) else "new", result.confirmed, flash.snapshot())

    def boots(self, snapshot: Snapshot, count: int = 3) -> tuple[tuple[str, bool], ...]:
        seen = []
        for _ in range(count):
            who, confirmed, snapshot = self.booted(snapshot)
            seen.append((who, confirmed))
        return tuple(seen)


parsed = functools.lru_cache(maxsize=4)(parse)


@functools.lru_cache(maxsize=2)
def bench(layout: Layout) -> Bench:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    room = layout.image_bytes
    old = build(random.Random(1).randbytes(room - 300), version="1.0.1004", key_pem=pem)
    new = build(random.Random(2).randbytes(room - room // 8 - 50), version="1.0.1005", key_pem=pem)
    flash = MemoryFlash(layout.size_bytes)
    provision(flash, layout, old)
    slots = Slots(flash, layout)
    slots.begin(len(new))
    slots.write(0, new)
    slots.finish()
    return Bench(layout, old, new, flash.snapshot())


@dataclass(frozen=True)
class Story:
    """What the device does, stage by stage, and what it promises to boot once 0, 1, … stages are through."""

    start: Snapshot
    stages: tuple[Callable[[Flash], object], ...]
    promises: tuple[tuple[tuple[str, bool], ...], ...]


def story(name: str, at: Bench) -> Story:
    if name == "update":
        return Story(at.uploaded, (at.mark_test, at.boot, at.confirm), (OLD, TRIAL, OLD, NEW))
    if name == "permanent":
        return Story(at.uploaded, (at.mark_permanent, at.boot), (OLD, NEW, NEW))
    flash = at.flash(at.uploaded)
    at.mark_test(flash)
    at.boot(flash)
    return Story(flash.snapshot(), (at.boot,), (OLD, OLD))


class Recorder(StrictFlash):
    """Keeps, for every operation, what the flash would hold had the power been cut at it, by each kind of tear."""

    def __init__(self, start: Snapshot) -> None:
        super().__init__(len(start) * SECTOR_BYTES)
        self.load(start)
        self.crashes: list[dict[Torn, Snapshot]] = []
        self._scratch = MemoryFlash(self.size_bytes)

    def erase(self, offset: int) -> None:
        self._record(lambda flash: flash.erase(offset))
        super().erase(offset)

    def write(self, offset: int, data: bytes) -> None:
        self._record(lambda flash: flash.write(offset, data))
        super().write(offset, data)

    def _record(self, operation: Callable[[Flash], None]) -> None:
        before, after = self.snapshot(), {}
        for torn in Torn:
            self._scratch.load(before)
            with contextlib.suppress(PowerCut):
                operation(CutFlash(self._scratch, 0, torn))
            after[torn] = self._scratch.snapshot()
        self.crashes.append(after)


def crashes(told: Story) -> Iterator[tuple[str, Snapshot, tuple[tuple[str, bool], ...]]]:
    """(where, what the flash holds, what must boot from then on) for every operation and tear of a story.

    A stage is through once its last operation is: each ends with the one record that makes it count.
    """
    flash = Recorder(told.start)
    for number, stage in enumerate(told.stages):
        first = len(flash.crashes)
        stage(flash)
        for at in range(first, len(flash.crashes)):
            for torn, held in flash.crashes[at].items():
                through = at == len(flash.crashes) - 1 and torn is Torn.ALL
                yield f"stage {number}, operation {at}, torn at {torn}", held, told.promises[number + through]


PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", ["update", "revert", "permanent"])
def test_one_cut_anywhere_at_the_shipped_geometry(name: str, part: int) -> None:
    """With images of 1 MiB, a cut at any operation of a story, torn in any way, ends as the story promised."""
    at = bench(SHIPPED)
    every = list(crashes(story(name, at)))
    assert len(every) > 3 * 9 * 256
    for where, held, promise in every[part * len(every) // PARTS : (part + 1) * len(every) // PARTS]:
        assert at.boots(held) == promise, where
    at.booted.cache_clear()


def test_a_confirmation_after_a_cut_holds() -> None:
    """Wherever the exchange was cut, the new image that then boots can be confirmed and stays."""
    at = bench(SMALL)
    told = Story(at.uploaded, (at.mark_test, at.boot), (OLD, TRIAL, OLD))
    for where, held, promise in crashes(told):
        if promise is TRIAL:
            flash = at.flash(held)
            assert at.boot(flash).confirmed is False, where
            at.confirm(flash)
            assert at.boots(flash.snapshot()) == NEW, where


@pytest.mark.parametrize("name", ["update", "revert", "permanent"])
def test_any_two_cuts(name: str) -> None:
    """At 16 sectors, a second cut anywhere in what follows the first one still ends as promised."""
    at = bench(SMALL)
    after: dict[tuple[tuple[str, bool], ...], Story] = {
        OLD: Story((), (at.boot,), (OLD, OLD)),
        NEW: Story((), (at.boot,), (NEW, NEW)),
        TRIAL: Story((), (at.boot, at.confirm), (TRIAL, OLD, NEW)),
    }
    seen: set[tuple[Snapshot, object]] = set()
    for first, held, promise in crashes(story(name, at)):
        if (held, promise) in seen:
            continue
        seen.add((held, promise))
        rest = after[promise]
        for second, again, then in crashes(Story(held, rest.stages, rest.promises)):
            assert at.boots(again, 2) == then[:2], f"{first}; then {second}"


def test_a_cut_in_the_upload_leaves_the_running_image() -> None:
    """Cut anywhere in an upload over a slot that was already marked, the device boots the old image, or, where
    the request was not yet dropped, the one that was marked."""
    at = bench(SMALL)
    marked = at.flash(at.uploaded)
    at.mark_permanent(marked)

    def upload(flash: Flash) -> None:
        slots = Slots(flash, at.layout)
        slots.begin(len(at.new))
        slots.write(0, at.new)
        slots.finish()

    told = list(crashes(Story(marked.snapshot(), (upload,), (OLD, OLD))))
    assert len(told) > 3 * 2 * 14
    for where, held, promise in told:
        dropped = not where.startswith("stage 0, operation 0,") or where.endswith("all")
        assert at.boots(held) == (promise if dropped else NEW), where


@pytest.mark.parametrize(("layout", "stride"), [(SMALL, 5), (SHIPPED, 397)])
def test_cuts_on_a_real_file(layout: Layout, stride: int, tmp_path: Path) -> None:
    """The same holds on a file that is closed at the cut and opened again: a sample of every `stride`-th operation."""
    at = bench(layout)
    path = tmp_path / "flash.bin"
    for cut, torn in itertools.product(range(1, layout.image_bytes // SECTOR_BYTES * 9, stride), Torn):
        path.write_bytes(b"".join(at.uploaded))
        file = FileFlash(path, layout.size_bytes)
        flash = CutFlash(file, cut, torn)
        at.mark_test(flash)
        with pytest.raises(PowerCut):
            at.boot(flash)
        file.close()
        for expected in TRIAL:
            file = FileFlash(path, layout.size_bytes)
            result = at.boot(file)
            file.close()
            assert (("old", "new")[result.image is parsed(at.new)], result.confirmed) == expected, (cut, torn)


CUTS = st.lists(st.tuples(st.integers(0, 170), st.sampled_from(Torn)), max_size=12)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=CUTS, permanent=st.booleans())
def test_any_number_of_cuts(cuts: list[tuple[int, Torn]], *, permanent: bool) -> None:
    """However often the power fails: a permanent image always arrives, and one on trial runs once at most and goes."""
    at = bench(SMALL)
    memory = at.flash(at.uploaded)
    (at.mark_permanent if permanent else at.mark_test)(memory)
    flash = CutFlash(memory, None)
    trials = 0
    for cut_at, torn in cuts:
        flash.restore(cut_at, torn)
        try:
            result = at.boot(flash)
        except PowerCut:
            continue
        trials += not result.confirmed
        assert not permanent or result.image is parsed(at.new)
        assert result.confirmed == ((result.image is parsed(at.new)) == permanent)
    final = at.boots(memory.snapshot())
    assert trials + sum(not confirmed for _, confirmed in final) <= 1
    assert final[1:] == (NEW if permanent else OLD)[1:]


@pytest.mark.parametrize("begun", [False, True])
def test_hundreds_of_cuts_at_the_same_place_use_nothing_up(*, begun: bool) -> None:
    """A device whose power fails again and again before it gets anywhere still finishes once it may."""
    at = bench(SMALL)
    memory = at.flash(at.uploaded)
    at.mark_test(memory)
    if begun:
        with pytest.raises(PowerCut):
            at.boot(CutFlash(memory, 5))
    for cut_at in [1] * 200 + ([] if begun else [2] * 200):
        with pytest.raises(PowerCut):
            at.boot(CutFlash(memory, cut_at, Torn.HALF))
    assert at.boots(memory.snapshot()) == TRIAL


class DeviceStory(RuleBasedStateMachine):
    """Uploads, marks, confirmations, resets and cuts in any order against a model of four values."""

    @initialize()
    def start(self) -> None:
        self.at = bench(SMALL)
        self.memory = self.at.flash(self.at.uploaded)
        self.slots = Slots(self.memory, SMALL)
        self.running, self.other = "1.0.1004", "1.0.1005"
        self.trial, self.asked = False, ""

    @rule(old=st.booleans())
    def upload(self, *, old: bool) -> None:
        data = self.at.old if old else self.at.new
        if self.trial:
            with pytest.raises(SlotError, check=lambda error: error.kind is SlotErrorKind.ON_TRIAL):
                self.slots.begin(len(data))
            return
        self.slots.begin(len(data))
        self.slots.write(0, data)
        self.slots.finish()
        self.other, self.asked = parsed(data).version, ""

    @precondition(lambda self: not self.trial and self.other != self.running)
    @rule(permanent=st.booleans())
    def mark(self, *, permanent: bool) -> None:
        digest = self.slots.state()[1].digest
        if self.asked == "permanent" and not permanent:
            with pytest.raises(SlotError, check=lambda error: error.kind is SlotErrorKind.ALREADY_PENDING):
                self.slots.mark_test(digest)
            return
        (self.slots.mark_permanent if permanent else self.slots.mark_test)(digest)
        self.asked = "permanent" if permanent else "test"

    @rule()
    def confirm(self) -> None:
        self.slots.confirm()
        self.trial = False

    @rule(cuts=CUTS)
    def reset(self, cuts: list[tuple[int, Torn]]) -> None:
        flash = CutFlash(self.memory, None)
        for cut_at, torn in cuts:
            flash.restore(cut_at, torn)
            with contextlib.suppress(PowerCut):
                self.at.boot(flash)
                break
        else:
            flash.restore()
            self.at.boot(flash)
        self.slots = Slots(self.memory, SMALL)
        now = self.slots.state()[0]
        cut_on_trial = self.asked == "test" and cuts and now.version == self.running
        if (self.asked or self.trial) and not cut_on_trial:
            self.running, self.other = self.other, self.running
        self.trial, self.asked = self.asked == "test" and not cut_on_trial, ""

    @invariant()
    def slots_are_as_the_model_says(self) -> None:
        found = self.slots.state()
        assert [one.version for one in found] == [self.running, self.other]
        assert found[0].confirmed is not self.trial
        assert found[1].pending is bool(self.asked)
        assert found[1].permanent is (self.asked == "permanent")


DeviceStory.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
test_device_story = DeviceStory.TestCase
test_device_story.__doc__ = "In any order of requests, resets and cuts, the slots are what a model of four values says."
