"""One conversation with one terminal: a reading thread that blocks on the link, and requests from any thread.

Requests are repeated only where a repetition is harmless: reads, writes that the device recognises by
their `client` and `n`, and writes that set a state to what it already is.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any, Self

from devices import framing, smp
from devices.errors import NoAnswer, PortLost, RemoteError, UtbenchError
from devices.session import Reply, Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from devices.link import Link

REPLY_TIMEOUT_S = 1.0
TRIES = 4

Sink = queue.SimpleQueue[tuple[int, smp.Smp | None]]


class SmpClient:
    """`request` waits for an answer; `post` sends and lets the answer fall into a queue (for windows)."""

    def __init__(self, link: Link, *, on_log: Callable[[str], None] | None = None) -> None:
        self.link = link
        self._session = Session()
        self._lock = threading.Lock()
        self._sinks: dict[int, Sink] = {}
        self._on_log = on_log
        self._lost: UtbenchError | None = None
        self.dropped = 0
        self._thread = threading.Thread(target=self._read, name=f"read {link.name}", daemon=True)
        self._thread.start()

    def request(
        self,
        op: smp.Op,
        group: int,
        command: int,
        payload: dict[str, Any] | None = None,
        *,
        timeout_s: float = REPLY_TIMEOUT_S,
        tries: int = TRIES,
    ) -> dict[str, Any]:
        """The reply's map. Raises `RemoteError` for a refusal, `NoAnswer` after `tries` time-outs, `PortLost`."""
        sink: Sink = queue.SimpleQueue()
        seq, data = self.post(op, group, command, payload or {}, sink)
        for attempt in range(tries):
            if attempt:
                self._resend(data)
            with contextlib.suppress(queue.Empty):
                return self._result(sink.get(timeout=timeout_s)[1], group)
        self.forget([seq])
        raise NoAnswer(
            f"{self.link.name} does not answer.",
            "Check that the terminal is on and that the cable sits, then try again.",
        )

    def post(self, op: smp.Op, group: int, command: int, payload: dict[str, Any], sink: Sink) -> tuple[int, bytes]:
        """Send without waiting; `(seq, reply)` falls into `sink`, `(seq, None)` when the link is lost."""
        with self._lock:
            if self._lost is not None:
                raise self._lost
            seq, data = self._session.send(op, group, command, payload)
            self._sinks[seq] = sink
        self.link.write(data)
        return seq, data

    def forget(self, seqs: list[int]) -> None:
        with self._lock:
            for seq in seqs:
                self._session.forget(seq)
                self._sinks.pop(seq, None)

    def lost(self) -> UtbenchError:
        """Why the link ended."""
        return self._lost or PortLost(f"{self.link.name} is closed.")

    def close(self) -> None:
        self.link.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _resend(self, data: bytes) -> None:
        if self._lost is not None:
            raise self._lost
        self.link.write(data)

    def _result(self, reply: smp.Smp | None, group: int) -> dict[str, Any]:
        if reply is None:
            raise self.lost()
        refusal = smp.error_of(reply)
        if refusal is not None:
            raise device_error(self.link.name, *refusal)
        return {key: value for key, value in reply.payload.items() if not (key == "rc" and group != smp.Group.TERMINAL)}

    def _read(self) -> None:
        try:
            while data := self.link.read():
                with self._lock:
                    events = self._session.receive(data)
                for event in events:
                    self._deliver(event)
        except UtbenchError as error:
            self._lost = error
        finally:
            if self._lost is None:
                self._lost = PortLost(f"{self.link.name} is closed.")
            with self._lock:
                sinks, self._sinks = self._sinks, {}
            for seq, sink in sinks.items():
                sink.put((seq, None))

    def _deliver(self, event: object) -> None:
        match event:
            case Reply(seq, message):
                with self._lock:
                    sink = self._sinks.pop(seq, None)
                if sink is not None:
                    sink.put((seq, message))
            case framing.LogLine(text):
                if self._on_log is not None:
                    self._on_log(text)
            case _:
                self.dropped += 1


def device_error(name: str, group: int, rc: int) -> RemoteError:
    """A refusal as a sentence; the image group numbers its reasons by itself."""
    texts = smp.IMAGE_RC_TEXT if group == smp.Group.IMAGE else smp.RC_TEXT
    where = f"group {group:#x}, rc {rc}" if group != smp.COMMON else f"rc {rc}"
    return RemoteError(group, rc, f"The terminal at {name} refuses: {texts.get(rc, 'an error of its own')} ({where}).")
