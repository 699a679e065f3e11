"""smpclient at a port: `python with_smpclient.py PORT VERB[:ARGUMENT]…`, one line of JSON for each verb:
`echo:TEXT`, `list`, `upload:FILE@SECONDS`, `test:HASH`, `confirm`, `reset`.

Runs in smpclient's own environment and knows nothing of utbench.
"""

import asyncio
import json
import socket
import sys
import time
from pathlib import Path

import serial
from smpclient import SMPClient
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import EchoWrite, ResetWrite
from smpclient.transport.serial import SMPSerialTransport


class TcpTransport(SMPSerialTransport):
    """The same framing over a socket: its documentation names `connect` as the place to do that."""

    async def connect(self, address: str, timeout_s: float) -> None:
        del timeout_s
        self._reset_state()
        self._conn = serial.serial_for_url(address, timeout=0)
        self._conn._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # pyserial's socket reports one waiting byte at most, and nothing of what waits to be sent
        type(self._conn).out_waiting = 0
        self._conn.read_all = lambda: self._conn.read(4096)


def slots(reply) -> list[dict]:
    assert success(reply), reply
    return [
        {
            "slot": one.slot,
            "version": one.version,
            "hash": bytes(one.hash).hex(),
            "active": bool(one.active),
            "pending": bool(one.pending),
            "confirmed": bool(one.confirmed),
        }
        for one in reply.images
    ]


async def upload(client: SMPClient, file: str, limit_s: str) -> list[tuple[float, int]]:
    """When which offset was reached; stops after `limit_s` seconds, wherever it then is."""
    image = Path(file).read_bytes()  # noqa: ASYNC240 - nothing else runs in this loop
    marks: list[tuple[float, int]] = []
    async for off in client.upload(image):
        marks.append((time.monotonic(), off))
        if marks[-1][0] - marks[0][0] > float(limit_s):
            break
    return marks


async def act(client: SMPClient, verb: str, argument: str):
    match verb:
        case "echo":
            return (await client.request(EchoWrite(d=argument))).r
        case "list":
            return slots(await client.request(ImageStatesRead()))
        case "upload":
            return await upload(client, *argument.rpartition("@")[::2])
        case "test":
            return slots(await client.request(ImageStatesWrite(hash=bytes.fromhex(argument), confirm=False)))
        case "confirm":
            return slots(await client.request(ImageStatesWrite(confirm=True)))
        case "reset":
            return success(await client.request(ResetWrite()))
    raise SystemExit(f"unknown verb {verb}")


async def main(port: str, verbs: list[str]) -> None:
    transport = TcpTransport() if "://" in port else SMPSerialTransport()
    async with SMPClient(transport, port) as client:
        for word in verbs:
            verb, _, argument = word.partition(":")
            print(json.dumps(await act(client, verb, argument)), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
