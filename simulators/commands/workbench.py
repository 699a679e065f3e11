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
    from simulators.make import Order

MODEL = "ut-99l"


def open_workbench(home: str | None) -> int:
    """A UT-99L under its newest release, in this process; host and update server in a child."""
    return guarded(Report(), lambda: _open(Home.at(home)))


def _open(home: Home) -> int:
    from simulators.workbench.app import Bench, Workbench

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The workbench needs a terminal to draw on.", "Without one, use `utbench demo` or `utbench device …`."
        )
    with contextlib.ExitStack() as stack:

        def start() -> Bench:
            from simulators.child import WorldChild
            from simulators.make import make_device

            world = stack.enter_context(WorldChild(home, "--no-devices"))
            device = make_device(home, _order(home, world.ready["host"], world.ready["updates"]))
            stack.callback(device.close)
            return Bench(device, world.ready["host"])

        app = Workbench(profile(MODEL), start)
        app.run()
        if app.failure is not None:
            raise app.failure
    return 0


def _order(home: Home, host_url: str, updates_url: str) -> Order:
    """The terminal of last time; the first time a new one under the newest release."""
    from simulators.make import Order

    known = (home.world / "devices" / Order(MODEL).serial / "flash.bin").exists()
    release = None if known else profile(MODEL).new_release
    return Order(MODEL, release, host_url=host_url, updates_url=updates_url, pace=0.02)
