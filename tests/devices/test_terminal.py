"""One terminal as calls: what goes over the line for them."""

from __future__ import annotations

import hashlib

import pytest

from devices.errors import NotATerminal, PortLost, RemoteError, RemoteProtocolError
from devices.smp import Group, Op, Rc
from devices.terminal import Terminal
from tests.devices.fake import FakeDevice

IMAGE = bytes(range(250)) * 40
SHA = hashlib.sha256(IMAGE).digest()
UPLOAD = (Group.IMAGE, 1)
SCREEN, PRESS = 2, 3


class Slot:
    """A device that takes an upload. `parameters` None: it does not know that command."""

    def __init__(self, parameters=None):
        self.flash = bytearray()
        self.parameters = parameters
        self.offs = []

    def __call__(self, request):
        if (request.group, request.command) != UPLOAD:
            return self.parameters or {"rc": Rc.NOT_SUPPORTED}
        off = request.payload["off"]
        self.offs.append(off)
        if off == len(self.flash):
            self.flash += request.payload["data"]
        return {"off": len(self.flash)}


def test_golden_first_chunk():
    """The first chunk of an upload is, byte for byte, what the specification's example would be for this image."""
    image = bytes(range(8))
    with FakeDevice(Slot()) as device, Terminal(device.link) as terminal:
        terminal.upload(image, bytes(range(32)))
    header = bytes.fromhex("0a 00 0046 0001 01 01")
    off = bytes.fromhex("63 6f6666 00")
    data = bytes.fromhex("64 64617461 48 0001020304050607")
    number = bytes.fromhex("65 696d616765 00")
    size = bytes.fromhex("63 6c656e 08")
    sha = bytes.fromhex("63 736861 5820") + bytes(range(32))
    body = bytes.fromhex("a5") + off + data + number + size + sha
    assert device.bodies[-1] == header + body


@pytest.mark.parametrize(
    ("parameters", "largest"),
    [(None, 252), ({"buf_size": 384, "buf_count": 4}, 380), ({"buf_size": 2048, "buf_count": 1}, 2044)],
)
def test_messages_fit_the_buffers(parameters, largest):
    """No message is larger than the device's buffer, the image arrives whole, and the room is used."""
    slot = Slot(parameters)
    with FakeDevice(slot) as device, Terminal(device.link) as terminal:
        state = terminal.upload(IMAGE, SHA)
    assert bytes(slot.flash) == IMAGE
    assert largest - 16 < max(map(len, device.bodies)) <= largest
    assert state.window == (3 if parameters and parameters["buf_count"] == 4 else 1)
    assert [request.payload.get("sha") for request in device.seen[1:]] == [SHA] + [None] * (len(slot.offs) - 1)


def test_stopped_upload_goes_on():
    """An upload that is stopped on the way goes on where the device says, not from the beginning."""
    slot = Slot({"buf_size": 384, "buf_count": 4})

    def stop_half_way(acked):
        if acked > len(IMAGE) // 2:
            raise InterruptedError

    with FakeDevice(slot) as device, Terminal(device.link) as terminal:
        with pytest.raises(InterruptedError):
            terminal.upload(IMAGE, SHA, progress=stop_half_way)
        terminal.upload(IMAGE, SHA)
    assert bytes(slot.flash) == IMAGE
    sent = sum(len(request.payload.get("data", b"")) for request in device.seen)
    assert sent < len(IMAGE) + 4 * 384


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ({"rc": Rc.BUSY}, RemoteError, "Another program is updating"),
        ({"err": {"group": 1, "rc": 30}}, RemoteError, "too large for its slot"),
        ({"rc": 0}, RemoteProtocolError, "without an offset"),
        ({"off": 10**6}, RemoteProtocolError, "asks for byte 1,000,000"),
    ],
)
def test_refused_upload(answer, error, says):
    """A device that does not take the image, or answers nonsense, ends the upload with a sentence."""

    def answers(request):
        return answer if request.group == Group.IMAGE else {"rc": 8}

    with FakeDevice(answers) as device, Terminal(device.link) as terminal, pytest.raises(error, match=says):
        terminal.upload(IMAGE, SHA)


def test_unplugged_upload():
    """A cable that is pulled in an upload ends it at once."""

    def answer(request):
        return device.unplug() if request.group == Group.IMAGE else {"rc": 8}

    with FakeDevice(answer) as device, Terminal(device.link) as terminal, pytest.raises(PortLost):
        terminal.upload(IMAGE, SHA)


def test_repeated_press_is_recognisable():
    """A press that is sent again carries the same client and number; the next press carries another."""
    lost = iter([True, False, False])

    def answer(request):
        if request.command == SCREEN:
            return {"rev": 1, "lines": []}
        return None if next(lost) else {"rev": 1, "screen": "x"}

    with FakeDevice(answer) as device, Terminal(device.link) as terminal:
        terminal.press("1")
        terminal.press("1")
    presses = [(one.payload["client"], one.payload["n"]) for one in device.seen if one.command == PRESS]
    assert presses[0] == presses[1]
    assert presses[2][0] == presses[0][0]
    assert presses[2][1] != presses[0][1]
    assert len(presses[0][0]) == 8


def test_long_screen_is_put_together():
    """A page that takes several messages is read whole; one that changes on the way is read anew."""
    rows = [f"row {n}" for n in range(9)]
    revs = iter([1, 1, 2, 2, 2, 2])

    def answer(request):
        first = request.payload.get("first_row", 0)
        return {"rev": next(revs), "lines": rows[first : first + 3], "more": first + 3 < len(rows)}

    with FakeDevice(answer) as device, Terminal(device.link) as terminal:
        screen = terminal.screen()
    assert list(screen.lines) == rows
    assert screen.rev == 2
    assert [request.payload.get("first_row", 0) for request in device.seen] == [0, 3, 6, 0, 3, 6]


def test_wait_in_vain():
    """A text that does not come is None when the time is up; any other refusal is an error."""
    rcs = iter([Rc.TIMEOUT, Rc.BAD_VALUE])

    def answer(_request):
        return {"err": {"group": Group.TERMINAL, "rc": next(rcs)}}

    with FakeDevice(answer) as device, Terminal(device.link) as terminal:
        assert terminal.wait(text="승인번호", timeout_s=0) is None
        with pytest.raises(RemoteError):
            terminal.wait(text="승인번호", timeout_s=0)
    assert device.seen[0].payload == {"text": "승인번호", "timeout_ms": 0}
    assert device.seen[0].op == Op.READ


def test_other_smp_device():
    """Something that speaks SMP, but has no terminal group, is no voucher terminal."""
    says = "speaks SMP, but is no voucher terminal"
    with (
        FakeDevice(lambda _: {"rc": Rc.NOT_SUPPORTED}) as device,
        Terminal(device.link) as terminal,
        pytest.raises(NotATerminal, match=says),
    ):
        terminal.identity()
