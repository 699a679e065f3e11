"""The live table: what each terminal does, at any second."""

from __future__ import annotations

import pytest

from ota.agent import Outcome, Step, Update
from ota.live import DOING, Doing, rows
from ota.runner import Beat

KNOWN = Update(serial="UT99L-0001", from_version=1003, to_version=1004)


def test_a_row_says_who_what_how_far_and_how_long():
    """While bytes move a row has percent, rate and time left, computed from what moved in this step."""
    beat = Beat("/dev/ttyUSB0", Step.TRANSFER, KNOWN, done=256 * 1024, total=512 * 1024)
    [row] = rows([Doing(beat, since_s=100.0)], now_s=104.0, cols=120)
    assert "UT99L-0001" in row
    assert "1003→1004" in row
    assert " 50 % of 512 KiB" in row
    assert "64 KiB/s" in row
    assert "4 s left" in row


def test_a_silent_step_has_a_heartbeat():
    """Where no bytes move the row counts seconds, and its first sign changes from one redraw to the next."""
    doing = Doing(Beat("/dev/ttyUSB0", Step.RESTART, KNOWN), since_s=10.0)
    [now], [later] = rows([doing], 13.0, 120), rows([doing], 13.3, 120)
    assert "restarting" in now
    assert "3 s so far" in now
    assert now[0] != later[0]


def test_the_end_stands_in_the_row():
    """A terminal that is done keeps its row, with the outcome."""
    done = Update(serial="UT99L-0001", from_version=1003, to_version=1004, outcome=Outcome.UPDATED)
    [row] = rows([Doing(Beat("COM7", Step.DONE, done), 0.0)], 1.0, 120)
    assert row.strip().endswith("updated")


@pytest.mark.parametrize("cols", [40, 80, 120])
@pytest.mark.parametrize("step", list(Step))
def test_no_row_is_wider_than_the_screen(step, cols):
    """Every step has its words, and no row wraps."""
    assert DOING[step]
    [row] = rows([Doing(Beat("socket://127.0.0.1:4001", step, KNOWN, 1, 2), 0.0)], 9.9, cols)
    assert len(row) < cols
