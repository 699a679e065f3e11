"""How fast an image goes to a simulated terminal: ours beside two clients that nobody here wrote, in one run.

`python -m tests.benchmarks.upload [--tiny]`. Client and device are processes of their own, one pair at a
time. All rates are taken after the first chunk, which may erase. A foreign client stops at ten times
what ours takes for as many bytes, and its rate is that of what it got through.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devices import framing, smp
from devices.groups import ImageCommand
from devices.smp import Group, Op
from tests.benchmarks.table import machine, show
from tests.peers.foreign import run_client, sim_device, why_missing

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS, RUST, PYTHON = "utbench", "mcumgr-toolkit", "smpclient"
KIB = 1024
TIMES = 10  # of ours: where a foreign client stops
LEAST_S = 30.0  # what it is given in any case: ten times nothing would stop it at its first time-out
START_S = 20.0  # to start, connect and send the first chunk
LONGEST_S = 300.0
FRAMING_BYTES = 4
BITS_PER_BYTE = 10
TURNAROUND_MS = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the images, by what is measured; `rounds` of each."""

    free: int
    free_slow: int
    at_921600: int
    at_115200: int
    lossy: int
    rounds: int


FULL = Sizes(512 * KIB, 64 * KIB, 384 * KIB, 64 * KIB, 64 * KIB, 5)
TINY = Sizes(64 * KIB, 8 * KIB, 16 * KIB, 4 * KIB, 8 * KIB, 1)


@dataclass(frozen=True, slots=True)
class Run:
    """One upload. `per_s` is bytes after the first chunk by seconds after it."""

    size: int
    seconds: float
    counted: int
    done: bool

    @property
    def per_s(self) -> float:
        return self.counted / self.seconds if self.seconds else 0.0


def content(size: int, seed: int) -> bytes:
    """No two alike, so that no device goes on with an earlier one. It need be no image: it is not booted."""
    return hashlib.shake_256(f"{size} {seed}".encode()).digest(size)


def upload(client: str, size: int, options: Iterable[str] = (), *, seed: int = 0, limit_s: float = LONGEST_S) -> Run:
    """One upload to a device that was made for it."""
    with tempfile.TemporaryDirectory(prefix="utbench-") as folder:
        file = Path(folder) / "image.bin"
        file.write_bytes(content(size, seed))
        with sim_device(Path(folder) / "home", *options) as port:
            try:
                (marks,) = run_client(client, port, f"upload:{file}@{limit_s}", timeout_s=limit_s + START_S)
            except (subprocess.TimeoutExpired, RuntimeError):
                return Run(size, limit_s, 0, done=False)
    marks = [mark for mark in marks if mark[1]]
    (first_s, first), (last_s, last) = marks[0], marks[-1]
    return Run(size, last_s - first_s, last - first, done=last == size)


def limit_for(ours: Run, size: int) -> float:
    return max(LEAST_S, TIMES * ours.seconds * size / ours.size)


def limit_per_s(baud: int, buf_size: int, size: int) -> float:
    """Image bytes a second that the framing leaves of a line, in messages that fill the device's buffer."""
    message = buf_size - FRAMING_BYTES
    room = message - len(_chunk(size, b""))
    while len(_chunk(size, bytes(room))) > message:
        room -= 1
    return baud / BITS_PER_BYTE * room / framing.encoded_bytes(message)


def _chunk(off: int, data: bytes) -> bytes:
    return smp.encode(smp.Smp(Op.WRITE, Group.IMAGE, ImageCommand.UPLOAD, 0, {"off": off, "data": data}))


def at_hand(*clients: str) -> list[str]:
    """Those of them that can be used here; it says which cannot."""
    found = []
    for client in clients:
        reason = why_missing(client)
        if reason:
            print(f"without {client}: {reason}", flush=True)
        else:
            found.append(client)
    return found


def free_line(sizes: Sizes, foreign: list[str]) -> None:
    """As fast as the system carries; the clients take turns, so that none has the quiet minutes to itself."""
    runs: dict[str, list[Run]] = {OURS: [], **{client: [] for client in foreign}}
    for seed in range(sizes.rounds):
        ours = upload(OURS, sizes.free, seed=seed)
        runs[OURS].append(ours)
        for client in foreign:
            size = sizes.free_slow if client == PYTHON else sizes.free
            runs[client].append(upload(client, size, seed=seed, limit_s=limit_for(ours, size)))
    ours_per_s = statistics.median(run.per_s for run in runs[OURS])
    rows = []
    for client, done in runs.items():
        per_s = statistics.median(run.per_s for run in done)
        rates = [run.per_s / KIB for run in done]
        rows.append(
            (
                client,
                f"{done[0].size // KIB}",
                f"{per_s / KIB:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{per_s / ours_per_s:.2f}",
                _ends(done),
            )
        )
    show(
        f"Unpaced pty, buffers 2048 x 4, median of {sizes.rounds}",
        ("client", "KiB", "KiB/s", "least to most", "of ours", ""),
        rows,
    )


def paced_line(sizes: Sizes, foreign: list[str]) -> None:
    """Beside what the framing allows on that line."""
    rows = []
    for baud, size in ((921_600, sizes.at_921600), (115_200, sizes.at_115200)):
        for buf_size in (2048, 384):
            options = ("--baud", str(baud), "--turnaround-ms", str(TURNAROUND_MS), "--buffers", f"{buf_size}x4")
            most = limit_per_s(baud, buf_size, size)
            ours = upload(OURS, size, options)
            runs = {OURS: ours, **{one: upload(one, size, options, limit_s=limit_for(ours, size)) for one in foreign}}
            rows += [
                (
                    f"{client}, {baud:,} baud, buffers {buf_size} x 4",
                    f"{size // KIB}",
                    f"{run.per_s / KIB:.2f}",
                    f"{most / KIB:.2f}",
                    f"{run.per_s / most:.1%}",
                    _ends([run]),
                )
                for client, run in runs.items()
            ]
    show(
        f"Paced line, the device takes {TURNAROUND_MS} ms to answer",
        ("client", "KiB", "KiB/s", "limit", "of it", ""),
        rows,
    )


def lossy_line(sizes: Sizes, foreign: list[str]) -> None:
    """One byte in 10,000 is lost, in either direction; the same bytes of the same line for all."""
    runs: dict[str, list[Run]] = {OURS: [], **{client: [] for client in foreign}}
    for seed in range(sizes.rounds):
        options = ("--drop", "1e-4", "--seed", str(seed + 1))
        for client, done in runs.items():
            done.append(upload(client, sizes.lossy, options, seed=seed, limit_s=LEAST_S))
    ours_s = statistics.median(run.seconds for run in runs[OURS])
    rows = []
    for client, done in runs.items():
        seconds = statistics.median(run.seconds for run in done)
        longest = max(run.seconds for run in done)
        got = sum(run.done for run in done)
        rows.append(
            (
                client,
                f"{got} of {len(done)}",
                f"{seconds:.2f}",
                f"{longest:.2f}",
                f"{seconds / ours_s:.1f}",
                _ends(done),
            )
        )
    show(
        f"{sizes.lossy // KIB} KiB with one byte in 10,000 lost",
        ("client", "completed", "median s", "longest s", "of ours", ""),
        rows,
    )


def _ends(runs: list[Run]) -> str:
    stopped = sum(not run.done for run in runs)
    return f"{stopped} stopped" if stopped else ""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few KiB: does it still run?")
    sizes = TINY if parser.parse_args(argv).tiny else FULL
    print(machine())
    foreign = at_hand(RUST, PYTHON)
    free_line(sizes, foreign)
    paced_line(sizes, [client for client in foreign if client == RUST])
    lossy_line(sizes, [client for client in foreign if client == RUST])


if __name__ == "__main__":
    main()
