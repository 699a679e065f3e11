"""The main job as its user runs it: `utbench demo`, a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from devices.commands.shell import worst
from devices.errors import PortBusy
from simulators.make import Order
from simulators.world import World, WorldSpec

DEADLINE_S = 60


def demo(tmp_path, *options):
    """Started with temporary files of its own, so that what it leaves behind can be counted."""
    return subprocess.Popen(
        [sys.executable, "-m", "utbench", "demo", "--json", *options],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_main_job(tmp_path):
    """Three terminals are updated and verified, 15,000원 are paid retroactively, and nothing is left behind."""
    ran = demo(tmp_path, "--baud", "0")
    out, narration = ran.communicate(timeout=DEADLINE_S)
    assert ran.returncode == 0, narration
    result = json.loads(out.splitlines()[-1])
    assert (result["schema"], result["event"], result["ok"]) == (1, "result", True)
    updates = {one["model"]: (one["from"], one["to"], one["verified"]) for one in result["updates"]}
    assert updates == {"ut-99l": (1003, 1004, True), "ut-77l": (1013, 1014, True), "ut-55l": (1020, 1021, True)}
    (payment,) = result["payments"]
    assert payment == {
        "program": "070101",
        "means": "card",
        "kind": "retro",
        "amount_won": 15_000,
        "balance_won": 882_894,
        "approval_no": "500000000001",
    }
    assert "882,894원" in narration
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ['"event": "step"', '"step": "transfer"'])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_interrupted_it_leaves_nothing_behind(tmp_path, word):
    """Ctrl-C, early or in the middle of a transfer: exit code 130, no file, no child, no traceback."""
    ran = demo(tmp_path)
    host = ""
    for line in ran.stdout:
        if word in line:
            break
    for line in ran.stderr:
        if "voucher host http" in line:
            host = line.split()[2].rstrip(",")
            break
    ran.send_signal(signal.SIGINT)
    _, narration = ran.communicate(timeout=DEADLINE_S)
    assert ran.returncode == 130
    assert "Traceback" not in narration
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{host}/healthz", timeout=5)


def test_one_world_on_one_home(home):
    """A second world on the same home is refused with the process of the first, and takes nothing away from it."""
    with World(home, WorldSpec(orders=(Order("ut-55l", 1021),))) as first:
        with pytest.raises(PortBusy, match=str(os.getpid())):
            World(home, WorldSpec(orders=()))
        assert first.devices[0].session.lcd.screen == "program"


@pytest.mark.parametrize(
    ("codes", "one"),
    [
        ([0, 0], 0),
        ([3, 3], 3),
        ([0, 3], 0),
        ([0, 4], 4),
        ([4, 5], 5),
        ([1, 5, 4, 0], 1),
        ([2, 0], 2),
        ([0, 130], 130),
        ([], 0),
    ],
)
def test_one_exit_code_for_several_ports(codes, one):
    """The first of 1, 5, 4, 0 that occurred; 3 only if all had nothing to do; a failure is never hidden."""
    assert worst(codes) == one
