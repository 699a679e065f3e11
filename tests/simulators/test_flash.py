"""NOR flash in memory and in a file, and the power cut."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.durable import DiskError
from devices.errors import LocalProtocolError
from simulators.flash import SECTOR_BYTES, CutFlash, FileFlash, Flash, MemoryFlash, PowerCut, Torn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 4 * SECTOR_BYTES


@pytest.fixture(params=["memory", "file"])
def flash(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flash]:
    if request.param == "memory":
        yield MemoryFlash(SIZE)
        return
    file = FileFlash(tmp_path / "flash.bin", SIZE)
    yield file
    file.close()


def test_a_new_flash_is_erased(flash: Flash) -> None:
    """Every byte of a new flash is 0xFF."""
    assert flash.read(0, SIZE) == b"\xff" * SIZE


@pytest.mark.parametrize(
    "step",
    [
        lambda flash: flash.read(SIZE - 1, 2),
        lambda flash: flash.read(-1, 1),
        lambda flash: flash.erase(8),
        lambda flash: flash.erase(SIZE),
        lambda flash: flash.erase(-SECTOR_BYTES),
        lambda flash: flash.write(4, bytes(8)),
        lambda flash: flash.write(0, bytes(7)),
        lambda flash: flash.write(0, bytes(SECTOR_BYTES + 8)),
        lambda flash: flash.write(SIZE - 8, bytes(16)),
        lambda flash: flash.write(-8, bytes(8)),
    ],
)
def test_what_the_part_cannot_do_is_refused(flash: Flash, step: Callable[[Flash], object]) -> None:
    """An operation off its alignment, too long or outside the flash raises and changes nothing."""
    with pytest.raises(LocalProtocolError):
        step(flash)
    assert flash.read(0, SIZE) == b"\xff" * SIZE


@pytest.mark.parametrize("size", [0, -SECTOR_BYTES, SECTOR_BYTES + 8])
def test_a_flash_is_whole_sectors(size: int) -> None:
    """A flash of a broken number of sectors cannot be made."""
    with pytest.raises(LocalProtocolError):
        MemoryFlash(size)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("erase"), st.integers(0, 3), st.just(b"")),
        st.tuples(
            st.just("write"),
            st.integers(0, SIZE // 8 - 4),
            st.sampled_from([b"\x0f", b"\xf0", b"\xff", b"\x00", b"\xfe"]).flatmap(
                lambda byte: st.integers(1, 4).map(lambda words: byte * 8 * words)
            ),
        ),
        st.tuples(st.just("write"), st.sampled_from([0, 1, 511, 512, 700]), st.binary(min_size=4096, max_size=4096)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_nor_semantics(operations: list[tuple[str, int, bytes]], tmp_path: Path) -> None:
    """Both flashes behave as one array of bits: erase sets a sector, write clears or is refused whole."""
    path = tmp_path / "nor.bin"
    path.unlink(missing_ok=True)
    memory, file, model = MemoryFlash(SIZE), FileFlash(path, SIZE), bytearray(b"\xff" * SIZE)
    for what, where, data in operations:
        at = where * (SECTOR_BYTES if what == "erase" else 8)
        allowed = all(old & new == new for old, new in zip(model[at : at + len(data)], data, strict=True))
        for flash in (memory, file):
            if what == "erase":
                flash.erase(at)
            elif allowed:
                flash.write(at, data)
            else:
                with pytest.raises(LocalProtocolError):
                    flash.write(at, data)
        if what == "erase":
            model[at : at + SECTOR_BYTES] = b"\xff" * SECTOR_BYTES
        elif allowed:
            model[at : at + len(data)] = data
        assert memory.read(0, SIZE) == file.read(0, SIZE) == bytes(model)
    file.close()


@given(offset=st.integers(0, SIZE), length=st.integers(0, SIZE))
def test_reads_of_any_piece(offset: int, length: int) -> None:
    """A read may begin and end anywhere, also across sectors."""
    length = min(length, SIZE - offset)
    flash, content = MemoryFlash(SIZE), bytes(at % 251 for at in range(SIZE))
    for at in range(0, SIZE, SECTOR_BYTES):
        flash.write(at, content[at : at + SECTOR_BYTES])
    assert flash.read(offset, length) == content[offset : offset + length]


def test_a_snapshot_is_a_copy() -> None:
    """What is written after a snapshot is not in it, and loading it brings the old content back."""
    flash = MemoryFlash(SIZE)
    flash.write(0, bytes(8))
    before = flash.snapshot()
    flash.erase(0)
    assert before != flash.snapshot()
    flash.load(before)
    assert flash.read(0, 8) == bytes(8)
    with pytest.raises(LocalProtocolError):
        flash.load(before[:1])


def test_a_file_outlives_a_killed_process(tmp_path: Path) -> None:
    """What was written before the process was killed is in the file for the next one."""
    path = tmp_path / "flash.bin"
    program = (
        "import os, sys, pathlib; from simulators.flash import FileFlash; "
        f"FileFlash(pathlib.Path(sys.argv[1]), {SIZE}).write(8, b'survives'); os.abort()"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", program, path], cwd=root, check=False, stderr=subprocess.DEVNULL)
    assert ended.returncode in {-signal.SIGABRT, 3}
    flash = FileFlash(path, SIZE)
    assert flash.read(0, 24) == b"\xff" * 8 + b"survives" + b"\xff" * 8
    flash.close()
    flash.close()


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """A flash file that does not fit the device is named and left as it is."""
    path = tmp_path / "flash.bin"
    path.write_bytes(b"precious")
    with pytest.raises(DiskError, match="8 bytes"):
        FileFlash(path, SIZE)
    assert path.read_bytes() == b"precious"


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    """What cannot be opened is told as a disk error."""
    with pytest.raises(DiskError, match="could not be opened"):
        FileFlash(tmp_path, SIZE)


H = SECTOR_BYTES // 2


@pytest.mark.parametrize(
    ("torn", "erased", "written"),
    [
        (Torn.NOTHING, bytes(2 * H), b"\xff" * 8),
        (Torn.HALF, b"\xff" * H + bytes(H), b"abcd\xff\xff\xff\xff"),
        (Torn.ALL, b"\xff" * 2 * H, b"abcdefgh"),
    ],
)
def test_what_a_cut_leaves(torn: Torn, erased: bytes, written: bytes) -> None:
    """The operation at the cut is found not at all, by its first half, or whole; the ones before it are whole."""
    inner = MemoryFlash(SIZE)
    inner.write(0, bytes(SECTOR_BYTES))
    flash = CutFlash(inner, 1, torn)
    flash.write(SECTOR_BYTES, b"complete")
    with pytest.raises(PowerCut):
        flash.erase(0)
    assert inner.read(0, SECTOR_BYTES) == erased
    assert inner.read(SECTOR_BYTES, 8) == b"complete"
    flash.restore(0, torn)
    with pytest.raises(PowerCut):
        flash.write(2 * SECTOR_BYTES, b"abcdefgh")
    assert inner.read(2 * SECTOR_BYTES, 8) == written


def test_nothing_works_without_power() -> None:
    """After the cut even a read raises, until the power is back; operations count from zero then."""
    flash = CutFlash(MemoryFlash(SIZE), 0)
    with pytest.raises(PowerCut):
        flash.erase(0)
    for step in (lambda: flash.read(0, 1), lambda: flash.erase(0), lambda: flash.write(0, bytes(8))):
        with pytest.raises(PowerCut):
            step()
    flash.restore()
    flash.write(0, bytes(8))
    flash.erase(0)
    assert flash.read(0, 1) == b"\xff"
    assert flash.operations == 2
    assert (flash.size_bytes, flash.sector_bytes) == (SIZE, SECTOR_BYTES)


def test_an_unknown_tear_is_refused() -> None:
    """Only nothing, half and all are tears."""
    with pytest.raises(ValueError, match="most"):
        CutFlash(MemoryFlash(SIZE), 0, "most")
