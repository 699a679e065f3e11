"""A simulated terminal on a real port of this process, with a host of plain functions behind it, and a client on it."""

import contextlib
import datetime as dt
import functools
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.clock import KST, BusinessClock, monotonic_s
from devices.home import Home
from devices.link import open_link
from devices.terminal import Terminal
from ota.build import RELEASE_FILE, build, pack
from simulators.bootloader import Layout
from simulators.device import DeviceSpec, Services, SimulatedDevice
from simulators.faces import open_face
from simulators.flash import FileFlash
from simulators.host.people import cards
from simulators.host.store import DictStore
from simulators.keys import private_pem
from simulators.slots import provision
from terminal.firmware import release_text
from terminal.state import Registered
from tests.terminal.bench import NEW, START, CoreHost

KEY = Ed25519PrivateKey.generate()


class Yes:
    """A registrar that knows everybody."""

    def check(self):
        return Registered(ok=True)


@functools.cache
def image(text, version, counter=1):
    """Any release text as a signed image, whether a terminal could run it or not."""
    return build(pack({RELEASE_FILE: text}), version=version, key_pem=private_pem(KEY), security_counter=counter)


def shipped_image(model, number):
    return image(release_text(model, number), f"1.0.{number}")


@dataclass
class Attached:
    """`with` it: a device provisioned with `model`'s new release (or `number`), at a pty or TCP port."""

    folder: Path
    model: str = "ut-99l"
    number: int | None = None
    kind: str = "tcp" if sys.platform == "win32" else "pty"
    registration: object = None
    spec: dict = field(default_factory=dict)
    at: dt.datetime = START

    def __enter__(self):
        layout = Layout.shipped()
        self.folder.mkdir(parents=True, exist_ok=True)
        flash = FileFlash(self.folder / "flash.bin", layout.size_bytes)
        provision(flash, layout, shipped_image(self.model, self.number or NEW[self.model]))
        flash.close()
        self.open = contextlib.ExitStack()
        self.host = CoreHost(DictStore(), self.model)
        self.clock = BusinessClock(self.at.astimezone(KST))
        self.switch_on()
        return self

    def switch_on(self):
        """The device, from what its folder holds."""
        spec = DeviceSpec(model=self.model, serial="S0001", terminal_no="T0000001", **self.spec)
        services = Services(self.host, Yes(), cards().get, self.clock)
        self.device = SimulatedDevice(
            spec,
            self.folder,
            KEY.public_key(),
            services,
            face=open_face(self.kind),
            registration=self.registration,
        )
        self.open.callback(self.device.close)

    def __exit__(self, *_exc):
        self.open.close()

    def link(self):
        link = open_link(self.device.face.name, Home(self.folder))
        self.open.callback(link.close)
        return link

    def client(self, **how):
        terminal = Terminal(self.link(), **how)
        self.open.callback(terminal.close)
        terminal.wait(screen="program")
        return terminal


def pay_retro(terminal):
    """A retroactive payment of 15,000원 on the pages, by touch, key and tap; the done page."""
    for label in ("발달재활", "카드결제"):
        terminal.touch(label)
    terminal.tap("recipient-070101")
    for key in (*"1001", "ok"):
        terminal.press(key)
    assert terminal.wait(screen="voucher")
    for label in ("서비스결제", "소급결제", "확인", "다음"):
        terminal.touch(label)
    for key in (*"0105", "ok", *"15000", "ok"):
        terminal.press(key)
    terminal.touch("단말기 분실")
    terminal.touch("확인")
    return terminal.wait(screen="done")


def eventually(holds, deadline_s=10.0):
    """Poll until it holds: for what the terminal does after its page has changed, such as emptying its journal."""
    until, pause = monotonic_s() + deadline_s, threading.Event()
    while not holds():
        assert monotonic_s() < until, "it never held"
        pause.wait(0.005)
