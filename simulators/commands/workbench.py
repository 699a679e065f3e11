"""`utbench` without a command: the workbench on the embedded world."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from devices.commands.shell import guarded
from devices.errors import UsageError
from devices.home import Home
from devices.profiles import profile
from devices.report import Report

if TYPE_CHECKING:
    from devices.home import Home as HomeType

MODEL = "ut-99l"


def open_workbench(home: str | None) -> int:
    """A UT-99L under its newest release, in this process; host and update server in a child."""
    report = Report()
    return guarded(report, lambda: _open(Home.at(home), report))


def _open(home: HomeType, report: Report) -> int:
    from simulators.child import WorldChild
    from simulators.make import Order, make_device
    from simulators.workbench.app import Workbench

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The workbench needs a terminal to draw on.", "Without one, use `utbench demo` or `utbench device …`."
        )
    with contextlib.ExitStack() as stack:
        report.say("Starting the world …")
        world = stack.enter_context(WorldChild(home, "--no-devices"))
        order = Order(MODEL, host_url=world.ready["host"], updates_url=world.ready["updates"], pace=0.02)
        if not (home.world / "devices" / order.serial / "flash.bin").exists():
            order = Order(
                MODEL, profile(MODEL).new_release, host_url=order.host_url, updates_url=order.updates_url, pace=0.02
            )
        device = make_device(home, order)
        stack.callback(device.close)
        Workbench(device, world.ready["host"]).run()
    return 0
