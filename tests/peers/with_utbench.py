"""Our own client at a port, in a process of its own: `python with_utbench.py PORT upload:FILE@SECONDS`.

Started as the foreign ones are and answering as they do, so that they can be compared.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from devices.clock import monotonic_s
from devices.home import Home
from devices.link import open_link
from devices.terminal import Terminal


def upload(terminal: Terminal, file: str, limit_s: str) -> list[tuple[float, int]]:
    """When which offset was acknowledged; stops after `limit_s` seconds, wherever it then is."""
    image = Path(file).read_bytes()
    marks: list[tuple[float, int]] = []

    def progress(acked: int) -> None:
        marks.append((monotonic_s(), acked))
        if marks[-1][0] - marks[0][0] > float(limit_s):
            raise TimeoutError

    try:
        terminal.upload(image, hashlib.sha256(image).digest(), progress=progress)
    except TimeoutError:
        return marks
    return marks


def main(port: str, verbs: list[str]) -> None:
    with Terminal(open_link(port, Home(Path.cwd()))) as terminal:
        for word in verbs:
            verb, _, argument = word.partition(":")
            assert verb == "upload", verb
            print(json.dumps(upload(terminal, *argument.rpartition("@")[::2])), flush=True)


main(sys.argv[1], sys.argv[2:])
