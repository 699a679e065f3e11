"""SMP over a serial console: messages as lines of base64, resynchronised at every newline.

Pure: bytes in, values out. Source: Zephyr, "SMP transport: UART/serial and console". A line is at most
127 bytes with its two-byte marker and newline: 124 characters of base64, 93 bytes. The first line of a
message opens with its length (big-endian, counting body and CRC); the last ends with a CRC16 (XMODEM)
of the body. What is no frame is the device's log, and is passed on as such.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

START = b"\x06\x09"
CONTINUE = b"\x04\x14"
LINE_BYTES = 127
BASE64_PER_LINE = (LINE_BYTES - len(START) - 1) // 4 * 4
LENGTH_BYTES = 2
CRC_BYTES = 2
MAX_MESSAGE_BYTES = 0xFFFF - CRC_BYTES
MAX_LINE_BYTES = 4096  # others send longer lines than the standard's; beyond this it is noise


@dataclass(frozen=True, slots=True)
class Message:
    """One whole SMP message, its CRC checked and removed."""

    body: bytes


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line between frames, without its newline."""

    text: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that looked like a frame and was not one."""

    reason: str


Received = Message | LogLine | Dropped


def encode(body: bytes) -> bytes:
    """All lines of one message, ready to write."""
    crc = binascii.crc_hqx(body, 0)
    raw = (len(body) + CRC_BYTES).to_bytes(LENGTH_BYTES, "big") + body + crc.to_bytes(CRC_BYTES, "big")
    text = binascii.b2a_base64(raw, newline=False)
    lines = [text[at : at + BASE64_PER_LINE] for at in range(0, len(text), BASE64_PER_LINE)]
    return START + (b"\n" + CONTINUE).join(lines) + b"\n"


def encoded_bytes(body_bytes: int) -> int:
    """How many bytes `encode` makes of a body: what the framing costs on a line."""
    text = -(-(LENGTH_BYTES + body_bytes + CRC_BYTES) // 3) * 4
    lines = -(-text // BASE64_PER_LINE)
    return text + lines * (len(START) + 1)


class Decoder:
    """Feed it what arrives; it holds at most one line and one message."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = LENGTH_BYTES + max_message_bytes + CRC_BYTES
        self._line = bytearray()
        self._raw: bytearray | None = None
        self._want = 0

    def feed(self, data: bytes) -> list[Received]:
        """Everything that `data` completes; an unfinished rest waits for more."""
        out: list[Received] = []
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            self._end_line(line, out)
        self._line += rest
        if len(self._line) > MAX_LINE_BYTES:
            del self._line[: -len(START)]  # keep what may be half a marker
            out.append(Dropped("a line without end"))
        return out

    def _end_line(self, line: bytes, out: list[Received]) -> None:
        start = line.rfind(START)
        if start >= 0:
            self._text(line[:start], out)
            if self._raw is not None:
                out.append(Dropped("a message that another one interrupts"))
            self._raw, self._want = bytearray(), 0
            self._take(line[start + len(START) :], out)
            return
        again = line.rfind(CONTINUE)
        if again < 0:
            self._text(line, out)
        elif self._raw is None:
            out.append(Dropped("a continuation without a start"))
        else:
            self._take(line[again + len(CONTINUE) :], out)

    def _take(self, text: bytes, out: list[Received]) -> None:
        raw = self._raw
        if raw is None:
            return
        try:
            raw += binascii.a2b_base64(text.rstrip(b"\r"), strict_mode=True)
        except binascii.Error:
            self._drop("a line that is not base64", out)
            return
        if not self._want:
            if len(raw) < LENGTH_BYTES:
                self._drop("a first line without a length", out)
                return
            self._want = LENGTH_BYTES + int.from_bytes(raw[:LENGTH_BYTES], "big")
        if len(raw) > self._want or not LENGTH_BYTES + CRC_BYTES <= self._want <= self._limit:
            self._drop("a length that cannot be", out)
        elif len(raw) == self._want:
            body, crc = bytes(raw[LENGTH_BYTES:-CRC_BYTES]), int.from_bytes(raw[-CRC_BYTES:], "big")
            if binascii.crc_hqx(body, 0) == crc:
                self._raw = None
                out.append(Message(body))
            else:
                self._drop("a message with a wrong checksum", out)

    def _drop(self, reason: str, out: list[Received]) -> None:
        self._raw = None
        out.append(Dropped(reason))

    @staticmethod
    def _text(line: bytes, out: list[Received]) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text.strip("\0 "):
            out.append(LogLine(text))
