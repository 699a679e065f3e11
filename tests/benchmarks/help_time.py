"""How long a person waits before anything happens: `--help`, and a headless start.

`python -m tests.benchmarks.help_time [--tiny]`. Each beside a bare `python -c pass`, taken in turns. Nothing
here asserts a time: a busy machine would fail it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from devices.clock import monotonic_s
from tests.benchmarks.table import machine, show
from tests.peers.foreign import ROOT, sim_device

TURNS = 20
UTBENCH = (sys.executable, "-m", "utbench")
BARE = (sys.executable, "-c", "pass")
HEAVY = ("textual", "rich", "cv2")


def run_s(argv: tuple[str, ...]) -> float:
    since_s = monotonic_s()
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return monotonic_s() - since_s


def start_s(home: Path) -> float:
    """From the call to the first line: the terminal has booted, and its port answers."""
    since_s = monotonic_s()
    with sim_device(home):
        return monotonic_s() - since_s


def heavy_modules() -> list[str]:
    """What `--help` imports and should not."""
    code = (
        "import contextlib, io, json, sys, utbench\n"
        "with contextlib.redirect_stdout(io.StringIO()): utbench.main(['--help'])\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    found: list[str] = json.loads(done.stdout)
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="two turns: does it still run?")
    turns = 2 if parser.parse_args(argv).tiny else TURNS
    bare, told, started = [], [], []
    with tempfile.TemporaryDirectory(prefix="utbench-") as folder:
        start_s(Path(folder) / "home")  # the first makes keys and leaves the factory
        for _ in range(turns):
            bare.append(run_s(BARE))
            told.append(run_s((*UTBENCH, "--help")))
            started.append(start_s(Path(folder) / "home"))
    base_s = statistics.median(bare)
    rows = [
        (
            name,
            f"{statistics.median(times) * 1000:.0f}",
            f"{min(times) * 1000:.0f} to {max(times) * 1000:.0f}",
            f"{statistics.median(times) / base_s:.1f}",
        )
        for name, times in (
            ("python -c pass", bare),
            ("utbench --help", told),
            ("utbench sim device, to its port", started),
        )
    ]
    print(machine())
    show(f"Start, median of {turns}", ("command", "ms", "least to most", "of bare python"), rows)
    print(f"\n`--help` imports of {', '.join(HEAVY)}: {', '.join(heavy_modules()) or 'none'}")


if __name__ == "__main__":
    main()
