"""Clients that nobody here wrote, each in an environment of its own, and a device of ours for them to speak to.

They live in folders named after them below `UTBENCH_PEERS` (default: `.peers` at the root of the
repository), each a virtual environment; `docs/benchmarks.md` tells how to make them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
COMMAND_S = 90.0
READY_S = 30.0

# What each must be able to import before it can be a peer; smpclient without its extra has no serial port.
NEEDS = {
    "smpmgr": "smpmgr",
    "smpclient": "smpclient.transport.serial",
    "mcumgr-toolkit": "mcumgr_toolkit",
}


def folder() -> Path:
    return Path(os.environ.get("UTBENCH_PEERS") or ROOT / ".peers")


def python_of(name: str) -> Path:
    """Its environment's interpreter; ours is called `utbench` and is the one that runs."""
    if name == "utbench":
        return Path(sys.executable)
    return folder() / name / "bin" / "python"


@functools.cache
def why_missing(name: str) -> str | None:
    """A sentence for the one who reads the skip; None where the peer can be used."""
    if name not in NEEDS:
        return None if shutil.which(name) else f"{name} is not installed on this machine"
    if not python_of(name).exists():
        return f"there is no environment {folder() / name}"
    probe = subprocess.run(
        [python_of(name), "-c", f"import {NEEDS[name]}"], capture_output=True, text=True, check=False
    )
    return None if probe.returncode == 0 else f"{name} cannot be used: {probe.stderr.strip().splitlines()[-1]}"


def run_client(name: str, port: str, *verbs: str, timeout_s: float = COMMAND_S) -> list[Any]:
    """Run `with_<name>.py` in its own environment; one value for each verb (`echo:hello`, `list`, …)."""
    script = HERE / f"with_{name.replace('-', '_')}.py"
    done = subprocess.run(
        [python_of(name), script, port, *verbs], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def smpmgr(port: str, *words: str) -> str:
    """One command of smpmgr's; what it printed. It exits 0 for a refusal, so nothing follows from its exit code."""
    done = subprocess.run(
        [python_of("smpmgr").with_name("smpmgr"), "--port", port, *words],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        env={**os.environ, "COLUMNS": "400", "TERM": "dumb"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextlib.contextmanager
def sim_device(home: Path, *options: str, model: str = "ut-77l", release: int = 1013) -> Iterator[str]:
    """`utbench sim device` as a process of its own; gives its port. It ends when our end of its stdin does."""
    words = ["sim", "device", "--model", model, "--release", str(release), "--json", "--until-eof", *options]
    with (home.parent / f"{home.name}.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "utbench", "--home", str(home), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, (log.seek(0), log.read())[1]
            yield json.loads(line)["port"]
        finally:
            process.stdin.close()
            try:
                process.wait(READY_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
