"""The upload machine against a model of a device and a line that does its worst for a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import NoAnswer, RemoteProtocolError
from devices.upload import FIRST_TIMEOUT_S, MAX_RETRY_S, MAX_STUCK, SILENCE_S, WRITE_BYTES, Chunk, Upload

IMAGE = bytes(range(256)) * 32
sizes = st.integers(1, len(IMAGE))
chunk_sizes = st.integers(1, 700)
windows = st.integers(1, 4)
acts = st.lists(
    st.sampled_from(["device", "reply", "lose request", "lose reply", "late reply", "double reply", "wait", "reset"]),
    max_size=120,
)


@dataclass
class Rig:
    """A client that obeys `Upload`, a line in each direction, a device that wants one offset after the other."""

    size: int
    upload: Upload
    now_s: float = 0.0
    requests: deque[tuple[int, Chunk]] = field(default_factory=deque)
    replies: deque[tuple[int, int]] = field(default_factory=deque)
    late: deque[tuple[int, int]] = field(default_factory=deque)
    flash: bytearray = field(default_factory=bytearray)
    under_way: dict[int, Chunk] = field(default_factory=dict)
    tokens: int = 0

    def send(self) -> None:
        while not self.upload.done and (chunk := self.upload.next_chunk()) is not None:
            assert 0 <= chunk.off < chunk.end <= self.size
            assert chunk.length <= max(WRITE_BYTES, self.upload.chunk_bytes)
            assert chunk.length % WRITE_BYTES == 0 or chunk.end == self.size
            self.tokens += 1
            self.under_way[self.tokens] = chunk
            assert len(self.under_way) <= self.upload.window
            self.requests.append((self.tokens, chunk))
            self.upload.sent(self.tokens, chunk, self.now_s)

    def device(self) -> None:
        token, chunk = self.requests.popleft()
        if chunk.off == len(self.flash):
            self.flash += IMAGE[chunk.off : chunk.end]
        self.replies.append((token, len(self.flash)))

    def reply(self, token: int, off: int) -> None:
        counts = token in self.under_way
        before = self.upload.acked
        self.upload.replied(token, off, self.now_s)
        assert self.upload.acked == (off if counts else before)
        if counts:
            self.under_way = {later: chunk for later, chunk in self.under_way.items() if later > token}
        if counts and not self.upload.done and all(chunk.off != off for chunk in self.under_way.values()):
            following = self.upload.next_chunk()
            assert following is not None
            assert following.off == off, "what the device wants comes next, unless it is on its way"

    def expire(self) -> None:
        deadline_s = self.upload.deadline_s()
        assert deadline_s is not None, "nothing is under way, nothing is to be sent: it would wait for ever"
        self.now_s = max(self.now_s, deadline_s)
        for lost in self.upload.expired(self.now_s):
            del self.under_way[lost]
        assert not self.under_way

    def try_in_vain(self, times: int) -> None:
        for _ in range(times):
            self.send()
            self.expire()

    def answer_in_vain(self, times: int) -> None:
        for _ in range(times):
            self.send()
            self.reply(self.requests.popleft()[0], 0)

    def step(self, act: str) -> None:
        self.now_s += 0.001
        match act:
            case "device" if self.requests:
                self.device()
            case "reply" if self.replies:
                self.reply(*self.replies.popleft())
            case "lose request" if self.requests:
                self.requests.popleft()
            case "lose reply" if self.replies:
                self.replies.popleft()
            case "late reply" if self.replies:
                self.late.append(self.replies.popleft())
            case "double reply" if self.replies:
                self.replies.append(self.replies[0])
            case "wait" if not self.upload.done and self.under_way:
                self.expire()
            case "reset":
                self.flash.clear()

    def finish(self) -> None:
        """The line is well from now on."""
        for _ in range(20_000):
            if self.upload.done:
                return
            self.send()
            if self.requests:
                self.device()
            elif self.replies:
                self.reply(*self.replies.popleft())
            elif self.late:
                self.reply(*self.late.popleft())
            elif not self.upload.done:
                self.expire()
        raise AssertionError("the upload neither ends nor gives up")


def rig(size: int, chunk_bytes: int, window: int) -> Rig:
    return Rig(size, Upload(size, chunk_bytes, window, started_s=0.0))


@given(sizes, chunk_sizes, windows, acts)
def test_completes_or_gives_up(size, chunk_bytes, window, script):
    """Lost, doubled and late messages and a device that restarts: once the line is well, the image is there whole.

    On the way nothing beyond the image is sent, chunks are whole flash units, the window holds, and what the
    device says that it wants is always what counts.
    """
    bench = rig(size, chunk_bytes, window)
    try:
        for act in script:
            bench.send()
            if bench.upload.done:
                break
            bench.step(act)
    except NoAnswer:
        return
    bench.finish()
    assert bytes(bench.flash) == IMAGE[:size] or "reset" in script


@given(sizes, chunk_sizes, windows)
def test_a_good_line_needs_no_repetition(size, chunk_bytes, window):
    """Nothing is sent twice where nothing is lost."""
    bench = rig(size, chunk_bytes, window)
    bench.finish()
    assert bytes(bench.flash) == IMAGE[:size]
    assert bench.upload.resends == 0
    full = bench.upload.chunk_bytes
    first = min(64, full, size)
    assert bench.tokens == 1 + -(-(size - first) // full)


@given(st.lists(st.integers(0, 4096), min_size=1, max_size=400), windows)
def test_any_offset(offsets, window):
    """Whatever offsets a device asks for, the client goes there, and ends: done, or saying why not."""
    upload = Upload(4096, 256, window, started_s=0.0)
    token = 0
    for off in [*offsets, *[7] * (MAX_STUCK + 2)]:
        while (chunk := upload.next_chunk()) is not None:
            token += 1
            upload.sent(token, chunk, 0.0)
        try:
            upload.replied(token, off, 0.0)  # the newest: it settles all before it
        except NoAnswer:
            return
        if upload.done:
            return
        following = upload.next_chunk()
        assert following is not None
        assert (following.off, upload.acked) == (off, off)
    raise AssertionError("it goes on for ever")


@pytest.mark.parametrize("off", [-1, 4097])
def test_impossible_offset(off):
    """A device that asks for bytes outside the image gets none."""
    upload = Upload(4096, 256, 1, started_s=0.0)
    upload.sent(1, Chunk(0, 64), 0.0)
    with pytest.raises(RemoteProtocolError, match="4,096"):
        upload.replied(1, off, 0.0)


def test_resumes_where_the_device_says():
    """The first chunk travels alone; a device that has most of the image already is sent only the rest."""
    upload = Upload(8000, 500, 3, started_s=0.0)
    assert upload.chunk_bytes == 496
    first = upload.next_chunk()
    assert first == Chunk(0, 64)
    upload.sent(1, first, 0.0)
    assert upload.next_chunk() is None
    upload.replied(1, 7000, 0.1)
    assert upload.next_chunk() == Chunk(7000, 496)


def test_whole_image_is_there_already():
    """A device that has it all is done after the first exchange."""
    upload = Upload(8000, 500, 3, started_s=0.0)
    upload.sent(1, Chunk(0, 64), 0.0)
    upload.replied(1, 8000, 0.1)
    assert upload.done


def test_a_lost_chunk_is_sent_again_at_once():
    """The answer to a later chunk tells that one was lost: it goes out again without a time-out."""
    bench = rig(8000, 800, 3)
    bench.send()
    bench.device()
    bench.reply(*bench.replies.popleft())
    bench.send()
    bench.requests.popleft()  # lost
    bench.device()
    bench.reply(*bench.replies.popleft())
    assert bench.upload.next_chunk() == Chunk(64, 800)


@pytest.mark.parametrize(("opened", "patience_s"), [(False, FIRST_TIMEOUT_S), (True, SILENCE_S)])
def test_silence_is_bounded(opened, patience_s):
    """A device that falls silent is given its time and a bounded number of repetitions, then named."""
    bench = rig(8000, 800, 3)
    bench.send()
    if opened:
        bench.device()
        bench.reply(*bench.replies.popleft())
    heard_s = bench.now_s
    with pytest.raises(NoAnswer, match="8,000"):
        bench.try_in_vain(1000)
    assert patience_s < bench.now_s - heard_s <= patience_s + FIRST_TIMEOUT_S / 4 + MAX_RETRY_S
    assert bench.tokens < 60


def test_stuck_is_bounded():
    """A device that answers for ever, but takes nothing, is given up after a bounded number of messages."""
    bench = rig(4096, 256, 1)
    with pytest.raises(NoAnswer, match="does not get past byte 0"):
        bench.answer_in_vain(10 * MAX_STUCK)
    assert bench.tokens <= MAX_STUCK + 1


def test_a_slow_device_is_not_pestered():
    """The time-out follows the device: with 0.4 s to each answer nothing is sent twice."""
    bench = rig(8000, 400, 3)
    while not bench.upload.done:
        bench.send()
        bench.device()
        bench.now_s += 0.4
        deadline_s = bench.upload.deadline_s()
        assert deadline_s is not None
        assert bench.now_s < deadline_s
        bench.reply(*bench.replies.popleft())
    assert bench.upload.resends == 0
