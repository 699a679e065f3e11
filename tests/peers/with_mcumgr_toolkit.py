"""mcumgr-toolkit at a port: `python with_mcumgr_toolkit.py PORT VERB[:ARGUMENT]…`, one line of JSON for each verb.

Runs in mcumgr-toolkit's own environment and knows nothing of utbench.
"""

import json
import sys
import time
from pathlib import Path

from mcumgr_toolkit import MCUmgrClient

TIMEOUT_MS = 500  # its own default; a lost message costs as much
RETRIES = 50  # the tests lose many more bytes than it is made for


def slots(images) -> list[dict]:
    return [
        {
            "slot": one.slot,
            "version": one.version,
            "hash": bytes(one.hash).hex(),
            "active": one.active,
            "pending": one.pending,
            "confirmed": one.confirmed,
        }
        for one in images
    ]


def act(client: MCUmgrClient, verb: str, argument: str):
    match verb:
        case "echo":
            return client.os_echo(argument)
        case "list":
            return slots(client.image_get_state())
        case "upload":
            marks = []
            client.image_upload(
                Path(argument).read_bytes(), progress=lambda done, _size: marks.append((time.monotonic(), done))
            )
            return marks
        case "test":
            return slots(client.image_set_state(bytes.fromhex(argument)))
        case "confirm":
            return slots(client.image_set_state(confirm=True))
        case "reset":
            return client.os_system_reset()
    raise SystemExit(f"unknown verb {verb}")


def main(port: str, verbs: list[str]) -> None:
    client = MCUmgrClient.serial(port, timeout_ms=TIMEOUT_MS)
    client.set_retries(RETRIES)
    client.use_auto_frame_size()
    for word in verbs:
        verb, _, argument = word.partition(":")
        print(json.dumps(act(client, verb, argument)), flush=True)


main(sys.argv[1], sys.argv[2:])
