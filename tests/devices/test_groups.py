from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import RemoteProtocolError
from devices.groups import Identity, Parameters, Screen, SlotState, Status, read_slots

WHO = {"model": "ut-99l", "serial": "UT99L-0001", "payment_version": 1003}
slots = st.builds(
    SlotState,
    st.integers(0, 1),
    st.text(max_size=12),
    st.binary(max_size=32),
    *[st.booleans() for _ in range(5)],
    st.just(0),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("model", "serial", "payment_version", "images", "buf_size", "buf_count", "rev", "lines", "fields", "battery")


@given(st.lists(slots, max_size=2))
def test_slots_round_trip(states):
    """Image state is read as it was written, with the standard's keys and no other."""
    written = [state.write() for state in states]
    assert read_slots({"images": written}) == tuple(states)
    assert all(
        set(entry) == {"image", "slot", "version", "hash", "bootable", "pending", "confirmed", "active", "permanent"}
        for entry in written
    )


def test_absent_means_unknown():
    """What a terminal does not say is unknown, not wrong; keys of its own are ignored."""
    identity = Identity.read({**WHO, "colour": "blue"})
    assert (identity.controller_id, identity.terminal_no, identity.registered) == ("ut-99l-UT99L-0001", "", False)
    assert Status.read({}).battery is None
    assert SlotState.read({"slot": 0}).digest == b""


@pytest.mark.parametrize(
    ("read", "reply"),
    [
        (Identity.read, {}),
        (Identity.read, {**WHO, "payment_version": "1003"}),
        (Identity.read, {**WHO, "registered": "yes"}),
        (Parameters.read, {"buf_size": 384}),
        (read_slots, {}),
        (read_slots, {"images": {}}),
        (read_slots, {"images": [{"version": "1.0.0"}]}),
        (Screen.read, {"lines": "one"}),
    ],
)
def test_wrong_types_are_refused(read, reply):
    """A missing or mistyped value is a `RemoteProtocolError` that names it."""
    with pytest.raises(RemoteProtocolError, match="'"):
        read(reply)


@given(
    st.sampled_from([Identity.read, Status.read, Screen.read, Parameters.read, read_slots]),
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), values, max_size=8),
)
def test_any_map(read, reply):
    """Any map at all is read or refused, never another exception."""
    with contextlib.suppress(RemoteProtocolError):
        read(reply)
