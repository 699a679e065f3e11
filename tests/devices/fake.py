"""A device whose answers a test writes, at the other end of a `MemoryLink`."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

from devices import framing, smp
from devices.errors import PortLost
from devices.link import MemoryLink
from devices.smp import Smp

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[[Smp], "dict[str, Any] | bytes | None"]


class FakeDevice:
    """`answer` gives a reply's map, raw bytes for the line, or None for silence. All requests are in `seen`."""

    def __init__(self, answer: Answer) -> None:
        self.link, self._line = MemoryLink.pair("test port")
        self.seen: list[Smp] = []
        self.bodies: list[bytes] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, data: bytes) -> None:
        self._line.write(data)

    def unplug(self) -> None:
        self._line.close()

    def _serve(self) -> None:
        decoder = framing.Decoder()
        with contextlib.suppress(PortLost):
            while data := self._line.read():
                for item in decoder.feed(data):
                    assert isinstance(item, framing.Message)
                    self.bodies.append(item.body)
                    request = smp.decode(item.body)
                    self.seen.append(request)
                    answer = self._answer(request)
                    if answer is not None:
                        self.say(answer if isinstance(answer, bytes) else reply_to(request, answer))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()
        self._thread.join(5)


def reply_to(request: Smp, payload: dict[str, Any]) -> bytes:
    reply = Smp(request.op.reply, request.group, request.command, request.seq, payload, request.version_2)
    return framing.encode(smp.encode(reply))
