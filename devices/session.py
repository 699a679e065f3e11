"""Requests and their replies on one line, without I/O: sequence numbers, matching, log text.

A reply counts only if its sequence number, group, command and direction are those of a request that
still waits; everything else is late, doubled or foreign, and is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from devices import framing, smp
from devices.errors import LocalProtocolError, RemoteProtocolError

SEQUENCES = 256


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to request `seq`."""

    seq: int
    message: smp.Smp


SessionEvent = Reply | framing.LogLine | framing.Dropped


class Session:
    def __init__(self, first_seq: int = 0) -> None:
        self._decoder = framing.Decoder()
        self._next = first_seq % SEQUENCES
        self._waiting: dict[int, tuple[smp.Op, int, int]] = {}

    def send(self, op: smp.Op, group: int, command: int, payload: dict[str, Any]) -> tuple[int, bytes]:
        """A new request: its sequence number and the bytes to write (write them again to retransmit)."""
        if len(self._waiting) == SEQUENCES:
            raise LocalProtocolError("256 requests wait for an answer; no further one can be told apart.")
        while self._next in self._waiting:
            self._next = (self._next + 1) % SEQUENCES
        seq, self._next = self._next, (self._next + 1) % SEQUENCES
        self._waiting[seq] = (op.reply, group, command)
        return seq, framing.encode(smp.encode(smp.Smp(op, group, command, seq, payload)))

    def forget(self, seq: int) -> None:
        """No longer wait for `seq`; a late reply is dropped."""
        self._waiting.pop(seq, None)

    def receive(self, data: bytes) -> list[SessionEvent]:
        out: list[SessionEvent] = []
        for item in self._decoder.feed(data):
            if not isinstance(item, framing.Message):
                out.append(item)
                continue
            try:
                message = smp.decode(item.body)
            except RemoteProtocolError as error:
                out.append(framing.Dropped(error.message))
                continue
            if self._waiting.get(message.seq) == (message.op, message.group, message.command):
                del self._waiting[message.seq]
                out.append(Reply(message.seq, message))
            else:
                out.append(framing.Dropped("a reply that nobody waits for"))
        return out
