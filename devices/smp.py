"""SMP messages: an 8-byte header and a CBOR map.

Pure. Source: Zephyr, "SMP protocol specification", version 2. Big-endian:
`res:3 ver:2 op:3 | flags | length:16 | group:16 | sequence | command`. Ours are sent as version 2;
both forms of error are understood: `{"rc": n}` (version 1, or a group's own) and
`{"err": {"group": g, "rc": n}}`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cbor2

from devices.errors import RemoteProtocolError

HEADER = struct.Struct(">BBHHBB")
VERSION_2 = 1 << 3
VERSION_MASK = 0b11 << 3
OP_MASK = 0b111
COMMON = -1  # stands for no group: `{"rc": n}` is SMP's own code, whatever the group


class Op(IntEnum):
    READ = 0
    READ_REPLY = 1
    WRITE = 2
    WRITE_REPLY = 3

    @property
    def reply(self) -> Op:
        return Op(self + 1)


class Group(IntEnum):
    OS = 0
    IMAGE = 1
    TERMINAL = 0x5554  # "UT"; 64 and up are free for applications, 64 itself is in use by others


class Rc(IntEnum):
    """Result codes that every group shares (MCUmgr's, and the terminal group's)."""

    OK = 0
    UNKNOWN = 1
    NO_MEMORY = 2
    BAD_VALUE = 3
    TIMEOUT = 4
    NO_ENTRY = 5
    BAD_STATE = 6
    BUSY = 7
    NOT_SUPPORTED = 8
    REFUSED = 9


RC_TEXT: dict[int, str] = {
    Rc.UNKNOWN: "an error it does not name",
    Rc.NO_MEMORY: "it is out of memory",
    Rc.BAD_VALUE: "a value it cannot use",
    Rc.TIMEOUT: "the time is up",
    Rc.NO_ENTRY: "there is no such thing",
    Rc.BAD_STATE: "that does not go in its present state",
    Rc.BUSY: "it is busy with another update or payment",
    Rc.NOT_SUPPORTED: "it does not know that command",
    Rc.REFUSED: "it refuses",
}

IMAGE_RC_TEXT: dict[int, str] = {  # MCUmgr's own numbers in the image group (img_mgmt.h), of which these are met
    8: "no slot holds an image with that hash",
    9: "the running image is on trial, and the other slot holds the way back",
    20: "the upload does not go on at that offset",
    22: "what was sent is no image",
    24: "the image is damaged",
    27: "the image is older than the one that runs",
    28: "another image is marked already",
    30: "the image is too large for its slot",
    32: "there is nothing to confirm",
    33: "that image runs already",
}


@dataclass(frozen=True, slots=True)
class Smp:
    """One message. `op` and `payload` say what; `seq` ties a reply to its request (0–255)."""

    op: Op
    group: int
    command: int
    seq: int
    payload: dict[str, Any]
    version_2: bool = True


def encode(message: Smp) -> bytes:
    body: bytes = cbor2.dumps(message.payload)
    version = VERSION_2 if message.version_2 else 0
    header = HEADER.pack(version | message.op, 0, len(body), message.group, message.seq, message.command)
    return header + body


def decode(data: bytes) -> Smp:
    """Raises `RemoteProtocolError` for anything that is not one whole message with a map inside."""
    if len(data) < HEADER.size:
        raise RemoteProtocolError("The other side sent a message without a header.")
    first, _flags, length, group, seq, command = HEADER.unpack_from(data)
    if len(data) != HEADER.size + length:
        raise RemoteProtocolError("The other side sent a message whose length does not fit.")
    try:
        op = Op(first & OP_MASK)
        payload = cbor2.loads(data[HEADER.size :]) if length else {}
    except Exception as error:
        raise RemoteProtocolError("The other side sent a message that is no SMP.") from error
    if not isinstance(payload, dict) or not all(isinstance(key, str) for key in payload):
        raise RemoteProtocolError("The other side sent a message that holds no map.")
    return Smp(op, group, command, seq, payload, bool(first & VERSION_MASK))


def error_of(reply: Smp) -> tuple[int, int] | None:
    """(group, rc) of a reply that is a refusal, else None; group `COMMON` for a code that all groups share."""
    err = reply.payload.get("err")
    if isinstance(err, dict):
        return _number(err.get("group"), reply.group), _number(err.get("rc"), Rc.UNKNOWN)
    rc = reply.payload.get("rc")
    return (COMMON, rc) if isinstance(rc, int) and rc != Rc.OK else None


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def error_payload(group: int, rc: int, *, version_2: bool) -> dict[str, Any]:
    return {"err": {"group": group, "rc": rc}} if version_2 else {"rc": rc}
