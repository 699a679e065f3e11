"""The world in one call: voucher host, update server and three terminals on free local ports, one seed, one clock.

Everything is real and local: the servers are HTTP on 127.0.0.1, the terminals serial ports (ptys, or TCP
where there are none). The world makes its own keys in `HOME/world/`, signs its metadata anew at start, and
enrols itself with the agent of the same home.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from devices.clock import KST, BusinessClock
from devices.lock import FileLock
from devices.profiles import FIRMWARE_MODELS, profile
from ota.trust import TokenStore, TrustStore
from simulators.host.server import HostServer
from simulators.keys import signing_key
from simulators.line import LineSpec
from simulators.make import Order, image_key_path, make_device, world_image
from simulators.register import Register
from simulators.registrar import CHECK_S
from simulators.updates.server import UpdateServer
from terminal.firmware import shipped

if TYPE_CHECKING:
    from types import TracebackType

    from devices.home import Home
    from simulators.device import SimulatedDevice

SERVER_NAME = "world"
START_S = 10.0
GUIDE_MORNING = dt.datetime(2026, 1, 5, 10, 0, tzinfo=KST)  # the date and time of the guide's own screens


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """`at` is business time at the start (None: now). `pace` scales the waits of the real thing."""

    at: dt.datetime | None = GUIDE_MORNING
    seed: int = 1
    pace: float = 0.02
    orders: tuple[Order, ...] = tuple(Order(model, profile(model).old_release) for model in FIRMWARE_MODELS)
    host_port: int = 0
    updates_port: int = 0


class World:
    """Runs from construction to `close`. `PortBusy` names the process of a world that already runs on this home."""

    def __init__(self, home: Home, spec: WorldSpec | None = None) -> None:
        self.home = home
        self.spec = spec or WorldSpec()
        self.devices: list[SimulatedDevice] = []
        self.clock = BusinessClock(self.spec.at)
        self._open = contextlib.ExitStack()
        try:
            for what in ("world", "host", "updates"):
                self._open.enter_context(server_lock(home, what))
            terminals = home.world / "terminals"
            self.host = self._open.enter_context(
                HostServer(home.world / "host.sqlite", terminals, self.clock, port=self.spec.host_port)
            )
            self.updates = self._open.enter_context(
                UpdateServer(home.world / "updates", terminals, self.clock, self.spec.updates_port)
            )
            self._publish()
            for number, order in enumerate(self.spec.orders):
                self._switch_on(order, number)
            self._enrol()
            self._wait_until_started()
        except BaseException:
            self.close()
            raise

    @property
    def ports(self) -> dict[str, str]:
        """The port of each terminal by its serial number."""
        return {device.spec.serial: device.face.name for device in self.devices}

    def close(self) -> None:
        for device in self.devices:
            device.close()
        self.devices.clear()
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _publish(self) -> None:
        """Every shipped release of every model that takes part, old and new."""
        trusted = signing_key(image_key_path(self.home)).public_key()
        for model in sorted({order.model for order in self.spec.orders}):
            for release in shipped(model):
                self.updates.store.publish(world_image(self.home, model, release), trusted, replace=True)

    def _switch_on(self, order: Order, number: int) -> None:
        line = replace(order.line, seed=self.spec.seed * 1000 + number)
        wanted = replace(
            order,
            line=line,
            host_url=self.host.url,
            updates_url=self.updates.url,
            pace=self.spec.pace,
            tcp=order.tcp or sys.platform == "win32",
        )
        self.devices.append(make_device(self.home, wanted, self.clock))

    def _wait_until_started(self) -> None:
        """Through the registration check, so that whoever hears that the world is ready may touch at once."""
        for device in self.devices:
            device.session.wait(lambda lcd: lcd.screen != "booting", CHECK_S * self.spec.pace + START_S)

    def _enrol(self) -> None:
        """The agent of this home trusts this world, and every terminal is meant to get its model's newest release."""
        TrustStore(self.home.path).pin(SERVER_NAME, self.updates.url, self.updates.root_bytes)
        tokens = TokenStore(self.home.path)
        register = Register(self.home.world / "terminals")
        for device in self.devices:
            card = register.terminal(device.spec.terminal_no)
            if card is not None and card.registered:
                tokens.enrol(card.controller_id, card.token)
                newest = shipped(card.model)[-1]
                self.updates.store.assign(card.controller_id, f"{card.model}-{newest}.bin")


def server_lock(home: Home, what: str) -> FileLock:
    """One `world`, one `host` and one `updates` server at a time may write to a home's files."""
    return FileLock(home.world / f"{what}.lock", f"The {what} of {home.path}", "Stop it, or use another --home.")


def usb_line(baud: int = 0) -> LineSpec:
    """A line as a terminal's USB port has it: a reset disconnects it."""
    return LineSpec(baud=baud, usb=True)
