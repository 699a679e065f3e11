"""Golden lines from the specification, checked against an SMP library that nobody here wrote."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import framing
from devices.framing import Decoder, Dropped, LogLine, Message, encode, encoded_bytes

ECHO_BODY = bytes.fromhex("0a00000900002a00 a1 6164 65 68656c6c6f")
ECHO_LINE = b"\x06\x09ABMKAAAJAAAqAKFhZGVoZWxsbwo4\n"
ECHO_REPLY_BODY = bytes.fromhex("0b00000900002a00 a1 6172 65 68656c6c6f")
ECHO_REPLY_LINE = b"\x06\x09ABMLAAAJAAAqAKFhcmVoZWxsb4yE\n"

bodies = st.binary(max_size=1200)


def crc16_xmodem(data: bytes) -> int:
    """Bit by bit from its definition: polynomial 0x1021, start 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def messages(items: list[framing.Received]) -> list[bytes]:
    return [item.body for item in items if isinstance(item, Message)]


@pytest.mark.parametrize(("body", "line"), [(ECHO_BODY, ECHO_LINE), (ECHO_REPLY_BODY, ECHO_REPLY_LINE)])
def test_golden(body, line):
    """An echo and its reply stand on the line byte for byte as the specification says."""
    assert encode(body) == line
    assert Decoder().feed(line) == [Message(body)]


@given(bodies)
def test_lines_are_the_standards(body):
    """Lines: 127 bytes at most; the first starts with 06 09, the others with 04 14; inside length, body, CRC16."""
    lines = encode(body).split(b"\n")
    assert lines.pop() == b""
    assert all(len(line) + 1 <= 127 for line in lines)
    assert [line[:2] for line in lines] == [b"\x06\x09"] + [b"\x04\x14"] * (len(lines) - 1)
    raw = base64.b64decode(b"".join(line[2:] for line in lines), validate=True)
    assert raw == (len(body) + 2).to_bytes(2, "big") + body + crc16_xmodem(body).to_bytes(2, "big")


@given(bodies)
def test_size_is_foretold(body):
    """`encoded_bytes` says how long a message will be on the line."""
    assert encoded_bytes(len(body)) == len(encode(body))


@given(st.lists(bodies, min_size=1, max_size=5), st.data())
def test_round_trip_in_any_pieces(sent, data):
    """However the line cuts its bytes into pieces, the same messages come out, in order, and nothing else."""
    stream = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    decoder, out = Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += decoder.feed(stream[start:end])
    assert out == [Message(body) for body in sent]


@given(st.lists(st.one_of(bodies, st.text("abc 가나[]:", min_size=1)), max_size=8))
def test_log_between_frames(items):
    """What the device prints between frames is passed on as log, and costs no frame."""
    stream = b"".join(encode(item) if isinstance(item, bytes) else f"{item}\r\n".encode() for item in items)
    told = [Message(item) if isinstance(item, bytes) else LogLine(item) for item in items]
    assert Decoder().feed(stream) == [one for one in told if not isinstance(one, LogLine) or one.text.strip()]


def test_last_start_marker_counts():
    """Rubbish and even a torn frame before the start marker of a line cost nothing: the last marker counts."""
    torn = encode(bytes(200))[:50]
    out = Decoder().feed(b"boot: 3.2" + torn + ECHO_LINE)
    assert messages(out) == [ECHO_BODY]
    assert LogLine("boot: 3.2\x06\x09" + torn[2:].decode()) in out


def test_continuation_without_start():
    """A continuation that no start came before is dropped, and the next message is whole."""
    tail = encode(bytes(200)).split(b"\n", 1)[1]
    assert Decoder().feed(tail + ECHO_LINE) == [
        *[Dropped("a continuation without a start")] * tail.count(b"\n"),
        Message(ECHO_BODY),
    ]


def test_start_interrupts():
    """A message that loses its end is given up for the next one, which arrives."""
    out = Decoder().feed(encode(bytes(200)).split(b"\n")[0] + b"\n" + ECHO_LINE)
    assert out == [Dropped("a message that another one interrupts"), Message(ECHO_BODY)]


@given(st.binary(min_size=1, max_size=400), st.data())
def test_a_changed_byte_is_noticed(body, data):
    """One changed byte never makes another message of it, and the message after the next newline arrives."""
    line = bytearray(encode(body))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    got = messages(Decoder().feed(bytes(line) + b"\n" + ECHO_LINE))
    assert got[-1] == ECHO_BODY
    assert got[:-1] in ([], [body])


@given(st.binary(min_size=1, max_size=400), st.data())
def test_a_lost_byte_is_noticed(body, data):
    """One lost byte never makes another message of it, and the message after the next newline arrives."""
    line = bytearray(encode(body))
    del line[data.draw(st.integers(0, len(line) - 1))]
    got = messages(Decoder().feed(bytes(line) + b"\n" + ECHO_LINE))
    assert got[-1] == ECHO_BODY
    assert got[:-1] in ([], [body])


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_noise_never_raises_and_heals(noise, piece):
    """Any noise at all, and after a newline the line works again."""
    decoder = Decoder()
    for at in range(0, len(noise), piece):
        decoder.feed(noise[at : at + piece])
    assert messages(decoder.feed(b"\n" + ECHO_LINE))[-1] == ECHO_BODY


def test_line_without_end_is_bounded():
    """A line that never ends is thrown away in pieces, and a message after it arrives."""
    decoder = Decoder()
    for _ in range(1000):
        decoder.feed(b"\x00x" * 1000)
        assert len(decoder._line) <= framing.MAX_LINE_BYTES
    assert messages(decoder.feed(b"\n" + ECHO_LINE)) == [ECHO_BODY]


def test_message_longer_than_announced_limit():
    """A length beyond what this side can hold is refused at the first line: nothing is collected."""
    decoder = Decoder(max_message_bytes=100)
    first, rest = encode(bytes(101)).split(b"\n", 1)
    assert decoder.feed(first + b"\n") == [Dropped("a length that cannot be")]
    assert messages(decoder.feed(rest + encode(bytes(100)))) == [bytes(100)]


def test_longer_lines_than_the_standards_are_read():
    """Others put a whole message on one long line; that is read too."""
    body = bytes(range(256)) * 4
    one_line = b"\x06\x09" + base64.b64encode(
        (len(body) + 2).to_bytes(2, "big") + body + crc16_xmodem(body).to_bytes(2)
    )
    assert Decoder().feed(one_line + b"\n") == [Message(body)]
