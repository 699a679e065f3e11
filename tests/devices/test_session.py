from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import framing, smp
from devices.errors import LocalProtocolError
from devices.framing import Dropped, LogLine
from devices.session import Reply, Session
from devices.smp import Op, Smp


def reply(seq: int, payload=None, *, op=Op.READ_REPLY, group=0, command=0) -> bytes:
    return framing.encode(smp.encode(Smp(op, group, command, seq, payload or {})))


def replies(events) -> list[int]:
    return [event.seq for event in events if isinstance(event, Reply)]


def test_matching():
    """A reply belongs to the request of its number, whatever order they come in, and counts once."""
    session = Session()
    first, second = (session.send(Op.READ, 0, 0, {})[0] for _ in range(2))
    assert (first, second) == (0, 1)
    assert replies(session.receive(reply(1) + reply(0) + reply(1))) == [1, 0]


@pytest.mark.parametrize(
    "wrong",
    [{"seq": 8}, {"seq": 7, "op": Op.WRITE_REPLY}, {"seq": 7, "group": 1}, {"seq": 7, "command": 1}],
    ids=["number", "direction", "group", "command"],
)
def test_unmatched_is_dropped(wrong):
    """A reply whose number, direction, group or command nobody waits for changes nothing."""
    session = Session(first_seq=7)
    session.send(Op.READ, 0, 0, {})
    assert session.receive(reply(**wrong)) == [Dropped("a reply that nobody waits for")]
    assert replies(session.receive(reply(7))) == [7]


def test_forgotten():
    """After `forget` a late reply is dropped, and does not answer a later request of another number."""
    session = Session()
    old, _ = session.send(Op.READ, 0, 0, {})
    session.forget(old)
    new, _ = session.send(Op.READ, 0, 0, {})
    assert replies(session.receive(reply(old) + reply(new))) == [new]


def test_256_at_once():
    """256 requests can be told apart; a further one is refused before it is sent, and fits once one is answered."""
    session = Session(first_seq=250)
    sent = [session.send(Op.READ, 0, 0, {})[0] for _ in range(256)]
    assert sorted(sent) == list(range(256))
    with pytest.raises(LocalProtocolError):
        session.send(Op.READ, 0, 0, {})
    session.receive(reply(99))
    assert session.send(Op.READ, 0, 0, {})[0] == 99


def test_numbers_in_use_are_skipped():
    """A number that still waits is not given to a second request, however often the others went round."""
    session = Session()
    waiting, _ = session.send(Op.READ, 0, 0, {})
    for _ in range(600):
        seq, _ = session.send(Op.READ, 0, 0, {})
        assert seq != waiting
        assert replies(session.receive(reply(seq))) == [seq]


def test_log_and_garbage():
    """Log text comes through; a frame that is no SMP is dropped and the request still answered."""
    session = Session()
    session.send(Op.READ, 0, 0, {})
    out = session.receive(b"hello\r\n" + framing.encode(b"\xff\xff") + reply(0, {"r": "x"}))
    assert out[0] == LogLine("hello")
    assert isinstance(out[1], Dropped)
    assert isinstance(out[2], Reply)
    assert out[2].message.payload == {"r": "x"}


@given(st.lists(st.sampled_from(["send", "answer", "stray", "forget"]), max_size=80), st.randoms(use_true_random=False))
def test_against_a_model(acts, random):
    """Exactly the requests that wait are answered, each once, whatever is answered, strays in or is forgotten."""
    session, waiting = Session(), set()
    for act in acts:
        if act == "send":
            seq, _ = session.send(Op.READ, 0, 0, {})
            assert seq not in waiting
            waiting.add(seq)
        elif act == "forget" and waiting:
            seq = random.choice(sorted(waiting))
            session.forget(seq)
            waiting.discard(seq)
        else:
            seq = random.choice(sorted(waiting)) if act == "answer" and waiting else random.randrange(256)
            assert replies(session.receive(reply(seq))) == ([seq] if seq in waiting else [])
            waiting.discard(seq)
