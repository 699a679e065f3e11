"""The host broken on purpose: what a terminal may meet on the way there and on the way back.

A fault on the request leg strikes before anything was done, on the reply leg after it was committed.
`drop` closes the connection without a word, `delay` goes on `seconds` later, `error` is HTTP 500, and
`kill` ends the process as a power cut would.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Leg = Literal["request", "reply"]
What = Literal["drop", "kill", "delay", "error"]
BUSINESS_PREFIX = "/v1/"


@dataclass(frozen=True, slots=True)
class Fault:
    """The next `count` requests meet it; `seconds` (of real time) is a delay's length."""

    leg: Leg
    what: What
    count: int = 1
    seconds: float = 0.0


class Faults:
    """What is planted, oldest first; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[Fault] = []

    def plant(self, fault: Fault) -> None:
        with self._lock:
            self._planted.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._planted.clear()

    def take(self, leg: Leg) -> Fault | None:
        """The oldest fault of that leg, one less of it left."""
        with self._lock:
            for index, fault in enumerate(self._planted):
                if fault.leg == leg:
                    left = [replace(fault, count=fault.count - 1)] if fault.count > 1 else []
                    self._planted[index : index + 1] = left
                    return fault
        return None


async def serve_with(faults: Faults, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request of the business, meeting a fault on each leg where one is planted."""
    if scope["type"] != "http" or not scope["path"].startswith(BUSINESS_PREFIX):
        await app(scope, receive, send)
        return
    if await _met(faults.take("request"), receive, send):
        return
    held: list[Message] = []

    async def hold(message: Message) -> None:
        held.append(message)

    await app(scope, receive, hold)
    if not await _met(faults.take("reply"), receive, send):
        for message in held:
            await send(message)


async def _met(fault: Fault | None, receive: Receive, send: Send) -> bool:
    """True if that was the end of this request."""
    match fault.what if fault else None:
        case "kill":
            _die()
        case "delay":
            assert fault
            await asyncio.sleep(fault.seconds)
            return False
        case "error":
            await _send_error(send)
        case "drop":
            await _drop(receive, send)
        case _:
            return False
    return True


async def _send_error(send: Send) -> None:
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": "A planted fault."}
    headers = [(b"content-type", b"application/problem+json")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})


async def _drop(receive: Receive, send: Send) -> None:
    """ASGI has no word for it: uvicorn's `send` belongs to the exchange, which knows its connection."""
    exchange = getattr(send, "__self__", None)
    transport = getattr(exchange, "transport", None)
    if transport is None:
        raise RuntimeError("Connections can be dropped under uvicorn only.")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _die() -> None:
    if sys.platform == "win32":
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)
