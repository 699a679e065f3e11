"""The SMP server of a simulated device: bytes of one line in, requests served one after the other, bytes out.

Requests are answered in the order in which they came, except `wait`, which holds its answer back and
blocks nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devices import framing, smp
from devices.errors import RemoteProtocolError
from devices.smp import Op, Rc, Smp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Refuse(Exception):  # noqa: N818 - a reply, not a fault
    """Answer with an error: `rc` of the request's own group, or of SMP itself where `common`."""

    def __init__(self, rc: int, *, common: bool = False) -> None:
        super().__init__(rc)
        self.rc = rc
        self.common = common


@dataclass(frozen=True, slots=True)
class Later:
    """The handler answers by itself: it is given the function that does it."""

    start: Callable[[Callable[[dict[str, Any] | Refuse], None]], None]


class SmpServer:
    """`handlers` by (group, command, op). `send` writes bytes; `on_text` hears lines that are no frames."""

    def __init__(
        self,
        handlers: Mapping[tuple[int, int, Op], Callable[[dict[str, Any]], dict[str, Any] | Later]],
        send: Callable[[bytes], None],
        on_text: Callable[[str], None],
        max_message_bytes: int,
    ) -> None:
        self._handlers = handlers
        self._send = send
        self._on_text = on_text
        self._limit = max_message_bytes
        self._decoder = framing.Decoder(max_message_bytes)

    def feed(self, data: bytes) -> list[Smp]:
        """The whole requests in `data`; text goes to the console at once."""
        requests = []
        for item in self._decoder.feed(data):
            match item:
                case framing.Message(body):
                    try:
                        requests.append(smp.decode(body))
                    except RemoteProtocolError:
                        continue  # as a real server: no reply to what cannot be read
                case framing.LogLine(text):
                    self._on_text(text)
        return requests

    def serve(self, request: Smp) -> None:
        if request.op not in (Op.READ, Op.WRITE):
            return
        handler = self._handlers.get((request.group, request.command, request.op))
        if handler is None:
            self._reply(request, Refuse(Rc.NOT_SUPPORTED, common=True))
            return
        try:
            result = handler(request.payload)
        except Refuse as refusal:
            self._reply(request, refusal)
            return
        except Exception:  # noqa: BLE001 - one bad request must not end the device's line
            self._reply(request, Refuse(Rc.UNKNOWN, common=True))
            return
        if isinstance(result, Later):
            result.start(lambda payload: self._reply(request, payload))
        else:
            self._reply(request, result)

    def _reply(self, request: Smp, result: dict[str, Any] | Refuse) -> None:
        if isinstance(result, Refuse):
            if result.common:
                payload: dict[str, Any] = {"rc": result.rc}
            else:
                payload = smp.error_payload(request.group, result.rc, version_2=request.version_2)
        else:
            payload = result
        reply = Smp(request.op.reply, request.group, request.command, request.seq, payload, request.version_2)
        body = smp.encode(reply)
        if len(body) > self._limit:
            reply = Smp(reply.op, reply.group, reply.command, reply.seq, {"rc": Rc.NO_MEMORY}, reply.version_2)
            body = smp.encode(reply)
        self._send(framing.encode(body))
