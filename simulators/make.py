"""Making simulated terminals: a folder with flash, keys and papers, and the device that runs from it.

`HOME/world/devices/<serial>/` is one terminal: `flash.bin`, `terminal.key` (its own signing key),
`image-key.pem` (the key whose images it boots), `journal.json`. What others must know of it, its public
key and its token, is its card in `HOME/world/terminals/`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devices.clock import BusinessClock
from devices.durable import save_bytes
from devices.errors import UsageError
from devices.profiles import profile
from devices.registry import Registration
from simulators.bootloader import Layout
from simulators.device import DeviceSpec, Services, SimulatedDevice
from simulators.faces import open_face
from simulators.flash import FileFlash
from simulators.host.people import cards
from simulators.keys import load_public, private_pem, public_pem, signing_key
from simulators.line import LineSpec
from simulators.register import Register, TerminalCard
from simulators.registrar import NoServer, ServerRegistrar
from simulators.slots import provision
from terminal.firmware import make_image, release_text
from terminal.host_client import HttpHost, NoHost

if TYPE_CHECKING:
    from pathlib import Path

    from devices.home import Home
    from simulators.faces import Face

INSTITUTION = "inst-1"
TENANT = "DEFAULT"
_NUMBERS = {"ut-99l": "9910000", "ut-77l": "9770000", "ut-55l": "9550000"}


@dataclass(frozen=True, slots=True)
class Order:
    """A terminal as wanted. `release` None keeps what its flash holds (a new one gets the old release)."""

    model: str
    release: int | None = None
    number: int = 1
    registered: bool = True
    host_url: str | None = None
    updates_url: str | None = None
    pace: float = 0.0
    tcp: bool = False
    tcp_port: int = 0
    buf_size: int = 2048
    buf_count: int = 4
    battery: int = 87
    boot_log: bool = True
    line: LineSpec = field(default_factory=LineSpec)

    @property
    def serial(self) -> str:
        return f"{profile(self.model).name.replace('-', '')}-{self.number:04}"

    @property
    def terminal_no(self) -> str:
        return f"{_NUMBERS[self.model]}{self.number:03}"


def image_key_path(home: Home) -> Path:
    """The private key of the world's publisher of firmware."""
    return home.world / "keys" / "image.pem"


def world_image(home: Home, model: str, release: int) -> bytes:
    """A shipped release, signed with the world's image key."""
    return make_image(release_text(model, release), private_pem(signing_key(image_key_path(home))))


def make_device(
    home: Home, order: Order, clock: BusinessClock | None = None, *, face: Face | None = None
) -> SimulatedDevice:
    """Provision the terminal where needed, and switch it on; `face` None: as ordered. `PortBusy` if it runs already."""
    if not profile(order.model).firmware:
        raise UsageError("The phone app has no firmware to simulate.", "Name ut-99l, ut-77l or ut-55l.")
    registration = Registration(home.run, order.serial, order.model)
    try:
        folder = home.world / "devices" / order.serial
        card = _papers(home, order, folder)
        _factory(home, order, folder)
        services = Services(
            host=HttpHost(order.host_url, card.terminal_no, signing_key(folder / "terminal.key"))
            if order.host_url
            else NoHost(),
            registrar=ServerRegistrar(
                order.updates_url, TENANT, card.controller_id, card.token, folder / "registration.json", order.pace
            )
            if order.updates_url
            else NoServer(),
            card=cards().get,
            clock=clock or BusinessClock(),
        )
        spec = DeviceSpec(
            model=order.model,
            serial=order.serial,
            terminal_no=order.terminal_no,
            buf_size=order.buf_size,
            buf_count=order.buf_count,
            battery=order.battery,
            boot_log=order.boot_log,
            line=order.line,
        )
        face = face or open_face("tcp" if order.tcp else "pty", order.tcp_port)
        trusted = load_public((folder / "image-key.pem").read_bytes())
        return SimulatedDevice(spec, folder, trusted, services, face=face, registration=registration)
    except BaseException:
        registration.close()
        raise


def _papers(home: Home, order: Order, folder: Path) -> TerminalCard:
    """Its card, made with its keys on the first day and kept."""
    register = Register(home.world / "terminals")
    key = signing_key(folder / "terminal.key").public_key()
    known = register.terminal(order.terminal_no)
    card = TerminalCard(
        terminal_no=order.terminal_no,
        serial=order.serial,
        model=order.model,
        institution=INSTITUTION,
        public_key=public_pem(key).decode(),
        token=known.token if known else secrets.token_hex(16),
        registered=order.registered,
    )
    if card != known:
        register.add(card)
    return card


def _factory(home: Home, order: Order, folder: Path) -> None:
    """Flash as it leaves the factory: the release in slot 0, confirmed, and the key that it will trust for good."""
    path = folder / "flash.bin"
    if path.exists() and order.release is None:
        return
    release = order.release or profile(order.model).old_release
    trusted = folder / "image-key.pem"
    save_bytes(trusted, public_pem(signing_key(image_key_path(home)).public_key()))
    layout = Layout.shipped()
    flash = FileFlash(path, layout.size_bytes)
    try:
        provision(flash, layout, world_image(home, order.model, release))
    finally:
        flash.close()
