"""mcumgr-toolkit at a port: `python with_mcumgr_toolkit.py PORT VERB[:ARGUMENT]…`, one line of JSON for each verb:
`echo:TEXT`, `list`, `upload:FILE@SECONDS`, `test:HASH`, `confirm`, `reset`.

Runs in mcumgr-toolkit's own environment and knows nothing of utbench.
"""

import json
import sys
import time
from pathlib import Path

from mcumgr_toolkit import MCUmgrClient


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


def upload(client: MCUmgrClient, file: str, limit_s: str) -> list[tuple[float, int]]:
    """When which offset was reached; stops after `limit_s` seconds, wherever it then is."""
    marks: list[tuple[float, int]] = []

    def progress(done: int, _size: int) -> None:
        marks.append((time.monotonic(), done))
        if marks[-1][0] - marks[0][0] > float(limit_s):
            raise TimeoutError

    try:
        client.image_upload(Path(file).read_bytes(), progress=progress)
    except Exception:
        if not marks or marks[-1][0] - marks[0][0] <= float(limit_s):
            raise
    return marks


def act(client: MCUmgrClient, verb: str, argument: str):
    match verb:
        case "echo":
            return client.os_echo(argument)
        case "list":
            return slots(client.image_get_state())
        case "upload":
            return upload(client, *argument.rpartition("@")[::2])
        case "test":
            return slots(client.image_set_state(bytes.fromhex(argument)))
        case "confirm":
            return slots(client.image_set_state(confirm=True))
        case "reset":
            return client.os_system_reset()
    raise SystemExit(f"unknown verb {verb}")


def main(port: str, verbs: list[str]) -> None:
    client = MCUmgrClient.serial(port)  # its own time-out and retries
    client.use_auto_frame_size()
    for word in verbs:
        verb, _, argument = word.partition(":")
        print(json.dumps(act(client, verb, argument)), flush=True)


main(sys.argv[1], sys.argv[2:])
