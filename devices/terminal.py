"""One attached terminal: the OS, image and terminal groups as plain calls.

Every call blocks until the terminal answers and raises the tree of `devices/errors.py`.
"""

from __future__ import annotations

import contextlib
import os
import queue
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from devices import smp
from devices.client import SmpClient, device_error
from devices.clock import monotonic_s
from devices.errors import NoAnswer, NotATerminal, PortLost, RemoteError, RemoteProtocolError
from devices.groups import (
    Identity,
    ImageCommand,
    OsCommand,
    Parameters,
    Screen,
    SlotState,
    Status,
    TerminalCommand,
    read_slots,
)
from devices.smp import Group, Op, Rc
from devices.upload import FIRST_TIMEOUT_S, Upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from devices.link import Link

FALLBACK = Parameters(buf_size=256, buf_count=2)  # a device that does not tell: small messages, one at a time
FRAMING_BYTES = 4  # of a device's buffer, length and CRC take these
IDENTIFY_TIMEOUT_S = 0.6
ERASE_TIMEOUT_S = 40.0
MAX_WINDOW = 3
WAIT_LIMIT_MS = 10_000  # the longest that a device holds a `wait`


class Terminal:
    """Owns its link. `on_log` receives what the device prints between frames."""

    def __init__(self, link: Link, *, on_log: Callable[[str], None] | None = None) -> None:
        self.port = link.name
        self._client = SmpClient(link, on_log=on_log)
        self._client_id = os.urandom(8)
        self._press_n = 0

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- terminal group

    def identity(self) -> Identity:
        """Raises `NotATerminal` where something else is at the port."""
        try:
            reply = self._client.request(
                Op.READ, Group.TERMINAL, TerminalCommand.IDENTITY, timeout_s=IDENTIFY_TIMEOUT_S, tries=3
            )
        except NoAnswer as error:
            raise NotATerminal(
                f"No voucher terminal answers at {self.port}.",
                "Check that it is on and that this is its port; `utbench device list` shows the terminals found.",
            ) from error
        except RemoteError as error:
            raise NotATerminal(
                f"What is at {self.port} speaks SMP, but is no voucher terminal.",
                "Name another port; `utbench device list` shows the terminals found.",
            ) from error
        return Identity.read(reply)

    def status(self) -> Status:
        return Status.read(self._terminal(Op.READ, TerminalCommand.STATUS))

    def screen(self) -> Screen:
        """The whole page, put together from as many messages as it takes."""
        return self._rest_of(self._terminal(Op.READ, TerminalCommand.SCREEN))

    def press(self, key: str) -> Screen:
        return self._pressed(TerminalCommand.PRESS, {"key": key})

    def touch(self, label: str) -> Screen:
        """Touch a button or item by its text: exact but for spaces, else a unique beginning."""
        return self._pressed(TerminalCommand.PRESS, {"touch": label})

    def tap(self, card: str) -> Screen:
        return self._pressed(TerminalCommand.TAP, {"card": card})

    def scan(self, text: str) -> Screen:
        return self._pressed(TerminalCommand.SCAN, {"text": text})

    def log(self, since: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from sequence number `since` on, and the number to ask for next."""
        reply = self._terminal(Op.READ, TerminalCommand.LOG, {"since": since})
        events = [dict(event) for event in reply.get("events", []) if isinstance(event, dict)]
        following = reply.get("next", since)
        if not isinstance(following, int):
            raise RemoteProtocolError("The terminal's log has no next number.")
        return events, following

    def clock_ms(self) -> int:
        return int(self._terminal(Op.READ, TerminalCommand.CLOCK).get("unix_ms", 0))

    def set_clock_ms(self, unix_ms: int) -> None:
        self._terminal(Op.WRITE, TerminalCommand.CLOCK, {"unix_ms": unix_ms})

    def wait(self, *, text: str = "", screen: str = "", timeout_s: float = 10.0) -> Screen | None:
        """The page once it shows `text` or has the id `screen`; None when the time is up. The device waits, not we."""
        until = monotonic_s() + timeout_s
        want = {"text": text} if text else {"screen": screen}
        while True:
            left_ms = max(0, min(WAIT_LIMIT_MS, int((until - monotonic_s()) * 1000)))
            try:
                reply = self._client.request(
                    Op.READ,
                    Group.TERMINAL,
                    TerminalCommand.WAIT,
                    {**want, "timeout_ms": left_ms},
                    timeout_s=left_ms / 1000 + 2,
                    tries=2,
                )
                return self._rest_of(reply)
            except RemoteError as error:
                if error.rc != Rc.TIMEOUT:
                    raise
            if monotonic_s() >= until:
                return None

    # -- OS group

    def echo(self, text: str) -> str:
        return str(self._client.request(Op.WRITE, Group.OS, OsCommand.ECHO, {"d": text}).get("r", ""))

    def reset(self) -> None:
        """Restart it; the caller closes this terminal and finds it again.

        A port that goes away with the terminal may take the answer along, so losing it is an answer too. It is asked
        for once only: a second reset would hit an image on trial, which the bootloader then reverts.
        """
        with contextlib.suppress(PortLost, NoAnswer):
            self._client.request(Op.WRITE, Group.OS, OsCommand.RESET, timeout_s=3.0, tries=1)

    def parameters(self) -> Parameters | None:
        """The device's buffers, or None where it does not tell (then one short message at a time)."""
        try:
            return Parameters.read(self._client.request(Op.READ, Group.OS, OsCommand.PARAMETERS))
        except RemoteError:
            return None

    # -- image group

    def slots(self) -> tuple[SlotState, ...]:
        return read_slots(self._client.request(Op.READ, Group.IMAGE, ImageCommand.STATE, timeout_s=3.0))

    def mark(self, digest: bytes, *, permanent: bool = False) -> tuple[SlotState, ...]:
        """Boot the image of that hash next: once, for a test, or for good."""
        return self._set_state({"hash": digest, "confirm": permanent})

    def confirm(self) -> tuple[SlotState, ...]:
        """Keep the image that runs now."""
        return self._set_state({"confirm": True})

    def erase(self) -> None:
        self._client.request(Op.WRITE, Group.IMAGE, ImageCommand.ERASE, {"slot": 1}, timeout_s=ERASE_TIMEOUT_S, tries=1)

    def upload(
        self,
        image: bytes,
        sha: bytes,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> Upload:
        """Write `image` into slot 1; `sha` (32 bytes) names the transfer, so that a broken one goes on.

        `progress` hears the bytes acknowledged; it may raise to stop, and the same call goes on later.
        """
        told = self.parameters()
        limits = told or FALLBACK
        window = max(1, min(limits.buf_count - 1, MAX_WINDOW)) if told else 1
        room = limits.buf_size - FRAMING_BYTES - _upload_overhead(len(image))
        state = Upload(len(image), room, window, monotonic_s())
        _drive(self._client, state, image, sha, progress or (lambda _acked: None))
        return state

    # -- inside

    def _terminal(self, op: Op, command: TerminalCommand, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._client.request(op, Group.TERMINAL, command, payload)

    def _pressed(self, command: TerminalCommand, what: dict[str, Any]) -> Screen:
        self._press_n += 1
        self._terminal(Op.WRITE, command, {**what, "client": self._client_id, "n": self._press_n})
        return self.screen()

    def _rest_of(self, reply: dict[str, Any]) -> Screen:
        screen = Screen.read(reply)
        while reply.get("more"):
            reply = self._terminal(Op.READ, TerminalCommand.SCREEN, {"first_row": len(screen.lines)})
            following = Screen.read(reply)
            if following.rev != screen.rev:
                return self.screen()  # the page changed in between: read it afresh
            screen = replace(screen, lines=screen.lines + following.lines)
        return screen

    def _set_state(self, payload: dict[str, Any]) -> tuple[SlotState, ...]:
        reply = self._client.request(Op.WRITE, Group.IMAGE, ImageCommand.STATE, payload, timeout_s=5.0)
        return read_slots(reply) if "images" in reply else self.slots()


def _upload_overhead(size: int) -> int:
    """Bytes of one upload message that are not image data, at their largest."""
    payload = {"off": size, "data": b""}
    return len(smp.encode(smp.Smp(Op.WRITE, Group.IMAGE, ImageCommand.UPLOAD, 0, payload))) + 2  # a longer data length


def _drive(  # the only loop that mixes the pure upload with a line
    client: SmpClient,
    state: Upload,
    image: bytes,
    sha: bytes,
    progress: Callable[[int], None],
) -> None:
    sink: queue.SimpleQueue[tuple[int, smp.Smp | None]] = queue.SimpleQueue()
    while not state.done:
        chunk = state.next_chunk()
        if chunk is not None:
            payload: dict[str, Any] = {"off": chunk.off, "data": image[chunk.off : chunk.end]}
            if chunk.off == 0:
                payload |= {"image": 0, "len": len(image), "sha": sha}
            seq, _data = client.post(Op.WRITE, Group.IMAGE, ImageCommand.UPLOAD, payload, sink)
            state.sent(seq, chunk, monotonic_s())
            continue
        deadline_s = state.deadline_s()
        wait_s = FIRST_TIMEOUT_S if deadline_s is None else max(0.0, deadline_s - monotonic_s())
        try:
            seq, reply = sink.get(timeout=wait_s)
        except queue.Empty:
            client.forget(state.expired(monotonic_s()))
            continue
        if reply is None:
            raise client.lost()
        refusal = smp.error_of(reply)
        if refusal is not None:
            raise _upload_error(client.link.name, *refusal)
        off = reply.payload.get("off")
        if not isinstance(off, int):
            raise RemoteProtocolError("The terminal answers an upload without an offset.", "Is its firmware right?")
        state.replied(seq, off, monotonic_s())
        progress(state.acked)


def _upload_error(name: str, group: int, rc: int) -> RemoteError:
    error = device_error(name, group, rc)
    if (group, rc) == (smp.COMMON, Rc.BUSY):
        error.message = f"Another program is updating the terminal at {name}."
        error.hint = "Wait until it is done, then run the same command again."
    return error
