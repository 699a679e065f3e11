from __future__ import annotations

import queue

import pytest

from devices import smp
from devices.client import SmpClient
from devices.errors import NoAnswer, PortLost, RemoteError
from devices.framing import encode
from devices.smp import Group, Op, Rc
from tests.devices.fake import FakeDevice, reply_to

SOON_S = 0.02  # a device that stays silent is waited for this long
LATE_S = 20.0  # one that answers is not


def echo(request):
    return {"r": request.payload["d"]}


def ask(client, text="hello", **options):
    options.setdefault("timeout_s", LATE_S)
    return client.request(Op.WRITE, Group.OS, 0, {"d": text}, **options)


def test_request():
    """A request gets its own answer."""
    with FakeDevice(echo) as device, SmpClient(device.link) as client:
        assert [ask(client, text)["r"] for text in "abc"] == list("abc")


def test_lost_request_is_sent_again():
    """A request that is not answered goes out again, the same bytes under the same number."""
    silent = iter([True, True, False])
    with FakeDevice(lambda request: None if next(silent) else echo(request)) as device:
        with SmpClient(device.link) as client:
            assert ask(client, timeout_s=SOON_S) == {"r": "hello"}
        assert len(device.bodies) == 3
        assert len(set(device.bodies)) == 1


@pytest.mark.parametrize("tries", [1, 3])
def test_silence(tries):
    """A device that never answers is asked as often as was said, no more, then named; what it says later is dropped."""
    with FakeDevice(lambda request: echo(request) if request.payload["d"] == "again" else None) as device:
        client = SmpClient(device.link)
        with pytest.raises(NoAnswer, match="test port does not answer"):
            ask(client, timeout_s=SOON_S, tries=tries)
        assert ask(client, "again") == {"r": "again"}
        assert [request.payload["d"] for request in device.seen] == ["hello"] * tries + ["again"]


def test_late_reply_is_not_the_next_ones():
    """A reply that comes after its request was given up is not taken for the next request's."""

    def answer(request):
        if request.payload["d"] == "old":
            return None
        old = device.seen[0]
        return reply_to(old, echo(old)) + reply_to(request, echo(request))

    with FakeDevice(answer) as device, SmpClient(device.link) as client:
        with pytest.raises(NoAnswer):
            ask(client, "old", timeout_s=SOON_S, tries=1)
        assert ask(client, "new") == {"r": "new"}
        assert client.dropped == 1


@pytest.mark.parametrize(
    ("payload", "group"),
    [({"rc": 8}, smp.COMMON), ({"err": {"group": 0, "rc": 8}}, Group.OS)],
    ids=["version 1", "version 2"],
)
def test_refusal(payload, group):
    """Both forms of a refusal are the same error, with group and number, and a sentence that says it."""
    with FakeDevice(lambda _: payload) as device, SmpClient(device.link) as client:
        with pytest.raises(RemoteError, match="does not know that command") as caught:
            ask(client)
        assert (caught.value.group, caught.value.rc) == (group, Rc.NOT_SUPPORTED)


def test_refusal_of_another_group():
    """A version 2 error names the group whose number it is; one without a sentence of its own is still one."""
    with FakeDevice(lambda _: {"err": {"group": 1, "rc": 77}}) as device, SmpClient(device.link) as client:
        with pytest.raises(RemoteError, match=r"an error of its own.*group 0x1, rc 77") as caught:
            ask(client)
        assert (caught.value.group, caught.value.rc) == (1, 77)


def test_unplugged_while_waiting():
    """A cable that is pulled while an answer is waited for ends the wait at once."""
    with FakeDevice(lambda _: device.unplug()) as device, SmpClient(device.link) as client:
        with pytest.raises(PortLost, match="test port is gone"):
            ask(client)
        with pytest.raises(PortLost):
            ask(client)


def test_unplugged_ends_every_window():
    """Everything that was posted and waits for answers hears of a lost line."""
    with FakeDevice(lambda _: None) as device, SmpClient(device.link) as client:
        sink = queue.SimpleQueue()
        posted = [client.post(Op.WRITE, Group.OS, 0, {"d": "x"}, sink)[0] for _ in range(3)]
        device.unplug()
        assert sorted(sink.get(timeout=LATE_S) for _ in posted) == [(seq, None) for seq in posted]
        assert isinstance(client.lost(), PortLost)


def test_log_between():
    """What the device prints, also in the middle of an exchange, is handed on and disturbs nothing."""
    heard = []

    def answer(request):
        return b"[boot] 1\r\n" + reply_to(request, echo(request))

    with FakeDevice(answer) as device, SmpClient(device.link, on_log=heard.append) as client:
        device.say(b"ready\r\n")
        assert ask(client) == {"r": "hello"}
    assert heard == ["ready", "[boot] 1"]


def test_garbage_between():
    """Noise, a message that is no SMP and a doubled reply are counted, and the answer arrives."""

    def answer(request):
        return b"\x04\x14zz\n" + encode(b"?") + reply_to(request, echo(request)) * 2

    with FakeDevice(answer) as device, SmpClient(device.link) as client:
        assert ask(client) == {"r": "hello"}
        assert ask(client, "two") == {"r": "two"}
        assert client.dropped >= 3
