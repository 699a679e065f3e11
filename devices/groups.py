"""What travels in the OS, image and terminal groups, as typed records read from CBOR maps.

Pure. OS and image: Zephyr, "SMP groups 0 and 1". The terminal group (0x5554) is ours. Absent means
unknown, readers ignore extra keys, and a value of the wrong type is a `RemoteProtocolError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from devices.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class OsCommand(IntEnum):
    ECHO = 0
    DATETIME = 4
    RESET = 5
    PARAMETERS = 6
    BOOTLOADER = 8


class ImageCommand(IntEnum):
    STATE = 0
    UPLOAD = 1
    ERASE = 5


class TerminalCommand(IntEnum):
    IDENTITY = 0
    STATUS = 1
    SCREEN = 2
    PRESS = 3
    TAP = 4
    SCAN = 5
    LOG = 6
    CLOCK = 7
    WAIT = 8


class Key(StrEnum):
    """The keys of a terminal. Digits are `0`–`9`."""

    OK = "ok"
    CANCEL = "cancel"
    BACK = "back"
    NEXT = "next"
    UP = "up"
    DOWN = "down"
    F1 = "f1"
    F2 = "f2"
    MENU = "menu"
    POWER = "power"


KEYS = frozenset("0123456789") | frozenset(Key)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The device's buffers: `buf_size` bytes each, `buf_count` of them."""

    buf_size: int
    buf_count: int

    @classmethod
    def read(cls, reply: Mapping[str, Any]) -> Parameters:
        return cls(_need(reply, "buf_size", int), _need(reply, "buf_count", int))


@dataclass(frozen=True, slots=True)
class SlotState:
    """One slot as MCUmgr's image state reports it. `digest` is the image's SHA-256 (32 bytes), empty if unknown."""

    slot: int
    version: str
    digest: bytes = b""
    bootable: bool = False
    pending: bool = False
    confirmed: bool = False
    active: bool = False
    permanent: bool = False
    image: int = 0

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> SlotState:
        flags = {name: _opt(entry, name, bool, False) for name in FLAGS}
        return cls(
            slot=_need(entry, "slot", int),
            version=_opt(entry, "version", str, ""),
            digest=_opt(entry, "hash", bytes, b""),
            image=_opt(entry, "image", int, 0),
            **flags,
        )

    def write(self) -> dict[str, Any]:
        """The standard reply's map, with no key of our own."""
        flags = {name: getattr(self, name) for name in FLAGS}
        return {"image": self.image, "slot": self.slot, "version": self.version, "hash": self.digest, **flags}


FLAGS = ("bootable", "pending", "confirmed", "active", "permanent")


def read_slots(reply: Mapping[str, Any]) -> tuple[SlotState, ...]:
    images = _need(reply, "images", list)
    return tuple(SlotState.read(entry) for entry in images if isinstance(entry, dict))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the terminal says it is. `registered` is what the update server said at its last power-on."""

    model: str
    serial: str
    terminal_no: str
    payment_version: int
    sw_version: str
    registered: bool

    @classmethod
    def read(cls, reply: Mapping[str, Any]) -> Identity:
        return cls(
            _need(reply, "model", str),
            _need(reply, "serial", str),
            _opt(reply, "terminal_no", str, ""),
            _need(reply, "payment_version", int),
            _opt(reply, "sw_version", str, ""),
            _opt(reply, "registered", bool, False),
        )

    @property
    def controller_id(self) -> str:
        """What the update server calls it."""
        return f"{self.model}-{self.serial}"


@dataclass(frozen=True, slots=True)
class Status:
    """`screen` is the open page's id, `rev` its revision (restarts at boot), `battery` 0–100 or None."""

    screen: str
    rev: int
    busy: bool
    power: str
    battery: int | None = None
    uptime_ms: int | None = None

    @classmethod
    def read(cls, reply: Mapping[str, Any]) -> Status:
        return cls(
            _opt(reply, "screen", str, ""),
            _opt(reply, "rev", int, 0),
            _opt(reply, "busy", bool, False),
            _opt(reply, "power", str, "on"),
            reply["battery"] if isinstance(reply.get("battery"), int) else None,
            reply["uptime_ms"] if isinstance(reply.get("uptime_ms"), int) else None,
        )


@dataclass(frozen=True, slots=True)
class Screen:
    """One page as it stands: `lines` are rows of text, right-stripped, `fields` what stands in its fields."""

    rev: int
    screen: str
    cols: int
    rows: int
    lines: tuple[str, ...]
    title: str
    keys: tuple[str, ...]
    fields: Mapping[str, str]

    @classmethod
    def read(cls, reply: Mapping[str, Any]) -> Screen:
        fields = _opt(reply, "fields", dict, {})
        return cls(
            _opt(reply, "rev", int, 0),
            _opt(reply, "screen", str, ""),
            _opt(reply, "cols", int, 0),
            _opt(reply, "rows", int, 0),
            tuple(str(line) for line in _opt(reply, "lines", list, [])),
            _opt(reply, "title", str, ""),
            tuple(str(key) for key in _opt(reply, "keys", list, [])),
            {str(name): str(value) for name, value in fields.items()},
        )

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def _need(reply: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = reply.get(name)
    if not isinstance(value, kind):
        raise RemoteProtocolError(f"The terminal's answer lacks {name!r}.", "Is its firmware the right one?")
    return value


def _opt(reply: Mapping[str, Any], name: str, kind: type[T], otherwise: T) -> T:
    value = reply.get(name, otherwise)
    if not isinstance(value, kind):
        raise RemoteProtocolError(f"The terminal's answer has a wrong {name!r}.", "Is its firmware the right one?")
    return value
