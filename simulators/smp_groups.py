"""What a simulated device answers in the OS, image and terminal groups.

OS and image replies hold the standard's keys and no others: clients that nobody here wrote forbid more.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import cbor2

from devices.clock import KST, monotonic_s
from devices.errors import LocalProtocolError
from devices.groups import KEYS, ImageCommand, OsCommand, TerminalCommand
from devices.smp import HEADER, Group, Op, Rc
from devices.terminal import WAIT_LIMIT_MS
from simulators.slots import SlotError, SlotErrorKind
from simulators.smp_server import Later, Refuse
from terminal import core, flow
from terminal.fields import squeeze
from terminal.session import CannotTouch
from terminal.state import CardRead, KeyPress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulators.device import SimulatedDevice
    from terminal.lcd import Lcd

    Handlers = dict[tuple[int, int, Op], Callable[[dict[str, Any]], dict[str, Any] | Later]]

SILENT_S = 2.0  # an upload without a chunk for so long has been given up
REMEMBERED = 16  # presses of one client, so that a retransmission never presses twice
REMEMBERED_CLIENTS = 32
GROWTH_BYTES = 16  # of a message: `more`, and longer heads of the lists and maps that are filled
MODE_SWAP_MOVE = 3  # MCUboot's number for swap by moving sectors

# MCUmgr's image group errors (img_mgmt.h)
IMAGE_RC = {
    SlotErrorKind.NO_IMAGE: 8,
    SlotErrorKind.ALREADY_PENDING: 28,
    SlotErrorKind.NOT_VALID: 24,
    SlotErrorKind.NOTHING_TO_CONFIRM: 32,
    SlotErrorKind.ACTIVE: 33,
    SlotErrorKind.ON_TRIAL: 9,
    SlotErrorKind.TOO_LARGE: 30,
}
IMAGE_RC_OFFSET = 20


def handlers(device: SimulatedDevice) -> Handlers:
    return {**_os(device), **ImageGroup(device).handlers(), **TerminalGroup(device).handlers()}


def _os(device: SimulatedDevice) -> Handlers:
    def echo(request: dict[str, Any]) -> dict[str, Any]:
        return {"r": str(request.get("d", ""))}

    def reset(_request: dict[str, Any]) -> dict[str, Any]:
        device.reset_soon()
        return {}

    def parameters(_request: dict[str, Any]) -> dict[str, Any]:
        return {"buf_size": device.spec.buf_size, "buf_count": device.spec.buf_count}

    def bootloader(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("query") == "mode":
            return {"mode": MODE_SWAP_MOVE}
        if request.get("query") is None:
            return {"bootloader": "MCUboot"}
        raise Refuse(Rc.NOT_SUPPORTED, common=True)

    def read_time(_request: dict[str, Any]) -> dict[str, Any]:
        return {"datetime": device.clock.now().replace(tzinfo=None).isoformat(timespec="seconds")}

    def write_time(request: dict[str, Any]) -> dict[str, Any]:
        try:
            at = dt.datetime.fromisoformat(str(request.get("datetime")))
        except ValueError:
            raise Refuse(Rc.BAD_VALUE, common=True) from None
        device.set_clock(at if at.tzinfo else at.replace(tzinfo=KST))
        return {}

    group = Group.OS
    return {
        (group, OsCommand.ECHO, Op.READ): echo,
        (group, OsCommand.ECHO, Op.WRITE): echo,
        (group, OsCommand.RESET, Op.WRITE): reset,
        (group, OsCommand.PARAMETERS, Op.READ): parameters,
        (group, OsCommand.BOOTLOADER, Op.READ): bootloader,
        (group, OsCommand.DATETIME, Op.READ): read_time,
        (group, OsCommand.DATETIME, Op.WRITE): write_time,
    }


class ImageGroup:
    """MCUmgr's image group over the two slots. `image: 1` is taken as slot 1, as some clients mean it."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._owner: tuple[int, object] | None = None
        self._heard_s = 0.0

    def handlers(self) -> Handlers:
        group = Group.IMAGE
        return {
            (group, ImageCommand.STATE, Op.READ): self._state,
            (group, ImageCommand.STATE, Op.WRITE): _slot_errors(self._mark),
            (group, ImageCommand.UPLOAD, Op.WRITE): _slot_errors(self._upload),
            (group, ImageCommand.ERASE, Op.WRITE): _slot_errors(self._erase),
        }

    def _state(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"images": [slot.write() for slot in self._device.slots.state()]}

    def _mark(self, request: dict[str, Any]) -> dict[str, Any]:
        slots = self._device.slots
        digest, for_good = request.get("hash"), bool(request.get("confirm"))
        running = next((slot.digest for slot in slots.state() if slot.active), None)
        if for_good and (not digest or digest == running):
            slots.confirm()
        elif not isinstance(digest, bytes) or not digest:
            raise Refuse(Rc.BAD_VALUE, common=True)
        elif for_good:
            slots.mark_permanent(digest)
        else:
            slots.mark_test(digest)
        return self._state(request)

    def _upload(self, request: dict[str, Any]) -> dict[str, Any]:
        off, data, size = request.get("off"), request.get("data", b""), request.get("len")
        if not isinstance(off, int) or not isinstance(data, bytes) or request.get("image", 0) not in (0, 1):
            raise Refuse(Rc.BAD_VALUE, common=True)
        slots = self._device.slots
        if off != 0:
            self._heard_s = monotonic_s()
        if off == 0:
            sha = request.get("sha")
            if not isinstance(size, int):
                raise Refuse(Rc.BAD_VALUE, common=True)
            self._own((size, sha))
            slots.begin(size, sha if isinstance(sha, bytes) else None)
        if not slots.uploading() or off != slots.offset:
            return {"off": slots.offset}
        slots.write(off, data)
        return {"off": slots.offset} if slots.uploading() else {"off": slots.offset, "match": slots.finish()}

    def _own(self, upload: tuple[int, object]) -> None:
        """One upload owns slot 1; another has to wait until it is complete or has been silent for a while."""
        silent = monotonic_s() - self._heard_s > SILENT_S
        if self._device.slots.uploading() and upload != self._owner and not silent:
            raise Refuse(Rc.BUSY, common=True)
        self._owner = upload

    def _erase(self, _request: dict[str, Any]) -> dict[str, Any]:
        self._device.slots.erase()
        return {}


def _slot_errors(handler: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The slots' refusals as MCUmgr numbers them."""

    def guarded(request: dict[str, Any]) -> dict[str, Any]:
        try:
            return handler(request)
        except SlotError as error:
            raise Refuse(IMAGE_RC[error.kind]) from error
        except LocalProtocolError:
            raise Refuse(IMAGE_RC_OFFSET) from None

    return guarded


class TerminalGroup:
    """The group of our own (0x5554): the terminal's screen, keys, cards, clock and log."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._presses: OrderedDict[bytes, OrderedDict[int, dict[str, Any]]] = OrderedDict()

    def handlers(self) -> Handlers:
        group = Group.TERMINAL
        return {
            (group, TerminalCommand.IDENTITY, Op.READ): self._identity,
            (group, TerminalCommand.STATUS, Op.READ): self._status,
            (group, TerminalCommand.SCREEN, Op.READ): self._screen,
            (group, TerminalCommand.PRESS, Op.WRITE): lambda request: self._once(request, self._press),
            (group, TerminalCommand.TAP, Op.WRITE): lambda request: self._once(request, self._tap),
            (group, TerminalCommand.SCAN, Op.WRITE): lambda request: self._once(request, self._scan),
            (group, TerminalCommand.LOG, Op.READ): self._log,
            (group, TerminalCommand.CLOCK, Op.READ): self._read_clock,
            (group, TerminalCommand.CLOCK, Op.WRITE): self._write_clock,
            (group, TerminalCommand.WAIT, Op.READ): self._wait,
        }

    def _identity(self, _request: dict[str, Any]) -> dict[str, Any]:
        state = self._device.session.state
        return {
            "model": state.model,
            "serial": state.serial,
            "terminal_no": state.terminal_no,
            "payment_version": state.release.payment_version,
            "sw_version": state.release.sw_version,
            "registered": state.registered,
        }

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        session = self._device.session
        return {
            "screen": session.lcd.screen,
            "rev": session.rev,
            "busy": core.is_busy(session.state),
            "battery": self._device.spec.battery,
            "power": session.state.power.value,
            "uptime_ms": session.uptime_ms,
        }

    def _screen(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._picture(self._device.session.lcd, _unsigned(request, "first_row", 0))

    def _picture(self, lcd: Lcd, first_row: int = 0) -> dict[str, Any]:
        """As many rows as a message holds; `more` where there are further ones. Only the first carries the fields,
        and of these what leaves room for a row: a device with tiny buffers does not name them all.
        """
        rows = [line.rstrip() for line in lcd.lines]
        lines: list[str] = []
        fields: dict[str, str] = {}
        out: dict[str, Any] = {
            "rev": self._device.session.rev,
            "screen": lcd.screen,
            "cols": lcd.cols,
            "rows": lcd.rows,
            "lines": lines,
            "title": lcd.title,
            "keys": list(lcd.keys),
            "fields": fields,
        }
        room = self._device.max_message_bytes - HEADER.size - len(cbor2.dumps(out)) - GROWTH_BYTES
        if not first_row:
            longest = max(map(_bytes, rows))
            for name, value in lcd.fields.items():
                if room - _bytes(name) - _bytes(value) >= longest:
                    fields[name] = value
                    room -= _bytes(name) + _bytes(value)
        for row in rows[first_row:]:
            room -= _bytes(row)
            if room < 0:
                break
            lines.append(row)
        if first_row + len(lines) < len(rows):
            out["more"] = True
        return out

    def _once(self, request: dict[str, Any], act: Callable[[dict[str, Any]], Lcd]) -> dict[str, Any]:
        """A press that was answered before is answered again from memory."""
        client, n = request.get("client", b""), request.get("n")
        known = self._presses.setdefault(client if isinstance(client, bytes) else b"", OrderedDict())
        self._presses.move_to_end(client if isinstance(client, bytes) else b"")
        while len(self._presses) > REMEMBERED_CLIENTS:
            self._presses.popitem(last=False)
        if isinstance(n, int) and n in known:
            return known[n]
        lcd = act(request)
        answer = {"rev": self._device.session.rev, "screen": lcd.screen}
        if isinstance(n, int):
            known[n] = answer
            while len(known) > REMEMBERED:
                known.popitem(last=False)
        return answer

    def _press(self, request: dict[str, Any]) -> Lcd:
        session = self._device.session
        key, label = request.get("key"), request.get("touch")
        if isinstance(label, str):
            try:
                return session.touch(label)
            except CannotTouch as error:
                raise Refuse(Rc.NO_ENTRY if str(error) == "none" else Rc.BAD_VALUE) from None
        if key not in KEYS:
            raise Refuse(Rc.BAD_VALUE)
        return session.apply(KeyPress(str(key)))

    def _tap(self, request: dict[str, Any]) -> Lcd:
        session = self._device.session
        number = self._device.card_number(str(request.get("card", "")))
        if number is None:
            raise Refuse(Rc.NO_ENTRY)
        page = flow.open_page(session.state)
        if page is None or "card" not in page.fields:
            raise Refuse(Rc.BAD_STATE)
        return session.apply(CardRead(number))

    def _scan(self, _request: dict[str, Any]) -> Lcd:
        raise Refuse(Rc.BAD_STATE if self._device.profile.camera else Rc.NOT_SUPPORTED)

    def _log(self, request: dict[str, Any]) -> dict[str, Any]:
        """As many events as one message holds."""
        since = _unsigned(request, "since", 0)
        room = self._device.max_message_bytes - HEADER.size - GROWTH_BYTES - _bytes("events") - _bytes("next")
        events: list[dict[str, Any]] = []
        for event in self._device.session.log_since(since):
            room -= len(cbor2.dumps(event))
            if room < 0 and events:
                break
            events.append(event)
        return {"events": events, "next": events[-1]["seq"] + 1 if events else since}

    def _read_clock(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"unix_ms": int(self._device.clock.now().timestamp() * 1000)}

    def _write_clock(self, request: dict[str, Any]) -> dict[str, Any]:
        unix_ms = _unsigned(request, "unix_ms", None)
        try:
            at = dt.datetime.fromtimestamp(unix_ms / 1000, KST)
        except (OverflowError, OSError, ValueError):
            raise Refuse(Rc.BAD_VALUE) from None
        self._device.set_clock(at)
        return {"unix_ms": unix_ms}

    def _wait(self, request: dict[str, Any]) -> Later:
        text, screen = request.get("text"), request.get("screen")
        since_rev = _unsigned(request, "since_rev", 0)
        timeout_ms = min(WAIT_LIMIT_MS, _unsigned(request, "timeout_ms", WAIT_LIMIT_MS))
        session = self._device.session
        if not isinstance(text, str) and not isinstance(screen, str):
            raise Refuse(Rc.BAD_VALUE)

        def holds(lcd: Lcd) -> bool:
            if session.rev < since_rev:
                return False
            return squeeze(text) in squeeze(lcd.text) if isinstance(text, str) else lcd.screen == screen

        def start(answer: Callable[[dict[str, Any] | Refuse], None]) -> None:
            session.watch(
                holds,
                timeout_ms / 1000,
                lambda lcd: answer(self._picture(lcd) if lcd is not None else Refuse(Rc.TIMEOUT)),
            )

        return Later(start)


def _bytes(text: str) -> int:
    """What a text takes in CBOR, at most."""
    return len(text.encode()) + 3


def _unsigned(request: Mapping[str, Any], name: str, otherwise: int | None) -> int:
    value = request.get(name, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refuse(Rc.BAD_VALUE)
    return value
