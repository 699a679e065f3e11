from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import smp
from devices.errors import RemoteProtocolError
from devices.smp import Group, Op, Rc, Smp

ECHO = bytes.fromhex("0a00000900002a00 a1 6164 65 68656c6c6f")

payloads = st.dictionaries(
    st.text(max_size=8), st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(), st.binary(), st.booleans()), max_size=6
)
requests = st.builds(
    Smp,
    st.sampled_from(Op),
    st.integers(0, 0xFFFF),
    st.integers(0, 255),
    st.integers(0, 255),
    payloads,
    st.booleans(),
)


def test_golden():
    """An echo request of version 2 is the specification's header and a CBOR map, byte for byte."""
    request = Smp(Op.WRITE, Group.OS, 0, 42, {"d": "hello"})
    assert smp.encode(request) == ECHO
    assert smp.decode(ECHO) == request


def test_terminal_group_is_ours():
    """The terminal group's number is 0x5554, big-endian in bytes 4 and 5."""
    assert smp.encode(Smp(Op.READ, Group.TERMINAL, 2, 0, {}))[4:6] == b"UT"


@given(requests)
def test_round_trip(message):
    """Every message is read back as it was written."""
    assert smp.decode(smp.encode(message)) == message


@given(st.binary(max_size=100))
def test_noise(data):
    """Any bytes are a message or a `RemoteProtocolError`, never another exception."""
    try:
        message = smp.decode(data)
    except RemoteProtocolError:
        return
    assert all(isinstance(key, str) for key in message.payload)


@given(requests, st.integers(min_value=1))
def test_torn(message, cut):
    """A message that lacks bytes at its end is refused."""
    data = smp.encode(message)
    with pytest.raises(RemoteProtocolError):
        smp.decode(data[: -(cut % len(data) or 1)])


def test_indefinite_length_map():
    """Zephyr sends maps of indefinite length; they are read."""
    body = b"\xbf" + cbor2.dumps("off") + cbor2.dumps(64) + b"\xff"
    assert smp.decode(bytes([0x0B, 0, 0, len(body), 0, 1, 7, 1]) + body).payload == {"off": 64}


def test_empty_body():
    """A reply without any payload counts as an empty map."""
    assert smp.decode(bytes([0x0B, 0, 0, 0, 0, 0, 7, 5])).payload == {}


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"rc": 8}, (smp.COMMON, 8)),
        ({"rc": 0}, None),
        ({}, None),
        ({"off": 1}, None),
        ({"err": {"group": 1, "rc": 30}}, (1, 30)),
        ({"err": {"rc": 5}}, (0, 5)),
        ({"err": {}}, (0, Rc.UNKNOWN)),
    ],
)
def test_both_forms_of_error(payload, error):
    """Version 1's `rc` and version 2's `err` are both refusals; rc 0 is not."""
    assert smp.error_of(Smp(Op.WRITE_REPLY, 0, 0, 0, payload)) == error


@given(st.integers(0, 0xFFFF), st.integers(1, 60), st.booleans())
def test_errors_round_trip(group, rc, version_2):
    """What a device says as an error is understood in both versions; version 1 knows no groups."""
    payload = smp.error_payload(group, rc, version_2=version_2)
    assert smp.error_of(Smp(Op.READ_REPLY, group, 0, 0, payload, version_2)) == (group if version_2 else smp.COMMON, rc)
