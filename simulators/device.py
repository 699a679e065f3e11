"""A simulated terminal: flash in a file, MCUboot's bootloader, SMP on a port, and inside it the terminal that
runs the release which the active slot holds.

Threads: one reads the port and holds it to its baud rate, one serves requests in order, one owns the
terminal (`terminal/session.py`). A reset stops the terminal as a power cut does and boots again.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devices.errors import UtbenchError
from devices.profiles import Profile, profile
from ota.image import Image, parse, verify
from simulators import smp_groups
from simulators.bootloader import Layout, boot
from simulators.console import Console
from simulators.flash import FileFlash
from simulators.line import LineSpec, Noise, Pacer
from simulators.slots import Slots
from simulators.smp_server import SmpServer
from terminal.firmware import read_release
from terminal.journal import FileJournal
from terminal.session import Ports, TerminalSession
from terminal.state import State

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from devices.clock import BusinessClock
    from devices.registry import Registration
    from devices.smp import Smp
    from simulators.faces import Face
    from terminal.host_client import Host
    from terminal.lcd import Lcd
    from terminal.release import Release
    from terminal.session import Registrar

FRAMING_BYTES = 4
BOOTS_BEFORE_GIVING_UP = 3


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """What a device is. `buf_size` × `buf_count` are its SMP buffers, `battery` is 0–100."""

    model: str
    serial: str
    terminal_no: str
    buf_size: int = 2048
    buf_count: int = 4
    battery: int = 87
    boot_log: bool = True
    line: LineSpec = field(default_factory=LineSpec)


@dataclass(frozen=True, slots=True)
class Services:
    """Whom the terminal inside talks to, and how test cards are found: `card` gives a test card's number."""

    host: Host
    registrar: Registrar
    card: Callable[[str], str | None]
    clock: BusinessClock


class SimulatedDevice:
    """Runs from construction to `close`. `folder` holds its flash and journal; `image_key` is the key it trusts."""

    def __init__(
        self,
        spec: DeviceSpec,
        folder: Path,
        image_key: Ed25519PublicKey,
        services: Services,
        *,
        face: Face,
        registration: Registration | None = None,
    ) -> None:
        self.spec = spec
        self.face = face
        self.clock = services.clock
        self.profile: Profile = profile(spec.model)
        self.max_message_bytes = spec.buf_size - FRAMING_BYTES
        self._folder = folder
        self._image_key = image_key
        self._services = services
        self._registration = registration
        self._layout = Layout.shipped()
        self._flash = FileFlash(folder / "flash.bin", self._layout.size_bytes)
        self._noise_in = Noise(spec.line, spec.line.seed)
        self._noise_out = Noise(spec.line, spec.line.seed + 1)
        self._pacer_in, self._pacer_out = Pacer(spec.line.baud), Pacer(spec.line.baud)
        self._turnaround = threading.Event()
        self._write_lock = threading.Lock()
        self._requests: queue.SimpleQueue[Smp | None] = queue.SimpleQueue()
        self._reset_wanted = False
        self._closed = False
        self._listeners: list[Callable[[Lcd], None]] = []
        self._boot()
        self.clock.listen(self._clock_moved)
        self._threads = [
            threading.Thread(target=work, name=f"{spec.serial} {name}", daemon=True)
            for name, work in (("line", self._receive), ("smp", self._serve))
        ]
        for thread in self._threads:
            thread.start()
        if registration is not None:
            registration.announce(face.name)

    # -- for others

    def listen(self, on_change: Callable[[Lcd], None]) -> None:
        """Hear every change of the screen, across resets."""
        self._listeners.append(on_change)

    def card_number(self, card: str) -> str | None:
        return self._services.card(card)

    def set_clock(self, at: dt.datetime) -> None:
        self.clock.set(at)

    def _clock_moved(self) -> None:
        self.session.clock_moved()

    def reset_soon(self) -> None:
        """After the reply to the request under way; nothing further is answered by the old firmware."""
        self._reset_wanted = True

    def send(self, data: bytes) -> None:
        """Bytes onto the line; whole frames only, so that answers never mix."""
        with self._write_lock:
            self._pacer_out.carry(len(data), waited=True)
            self.face.write(self._noise_out.through(data))

    def say(self, text: str) -> None:
        """A line of the device's log or console."""
        self.send(text.encode() + b"\r\n")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._turnaround.set()
        self._pacer_in.stop()
        self._pacer_out.stop()
        if self._registration is not None:
            self._registration.close()
        self.face.close()
        self._requests.put(None)
        for thread in self._threads:
            thread.join(5.0)
        self.session.stop()
        self._flash.close()

    # -- booting

    def _boot(self) -> None:
        """The bootloader chooses a slot; a release that fails its self-test is never confirmed, so it reverts."""
        for _ in range(BOOTS_BEFORE_GIVING_UP):
            booted = boot(self._flash, self._layout, self._check)
            try:
                release = read_release(booted.image.payload, self.spec.model)
            except UtbenchError as error:
                if booted.confirmed:
                    raise
                self._boot_log(f"self-test failed: {error.message}")
                continue
            self._boot_log(f"booting slot 0, version {booted.image.version}: {booted.reason}")
            self._run(release)
            return
        raise UtbenchError("The device finds no release that it can run.", "Provision it again.")

    def _check(self, data: bytes) -> Image:
        image = parse(data)
        verify(image, self._image_key)
        return image

    def _run(self, release: Release) -> None:
        spec = self.spec
        self.slots = Slots(self._flash, self._layout)
        state = State(model=spec.model, terminal_no=spec.terminal_no, serial=spec.serial, release=release)
        ports = Ports(
            self._services.host, self._services.registrar, FileJournal(self._folder / "journal.json"), self.clock
        )
        self.session = TerminalSession(state, ports, self._changed)
        self._console = Console(self)
        self._server = SmpServer(smp_groups.handlers(self), self.send, self._console.line, self.max_message_bytes)
        self.session.start()

    def _changed(self, lcd: Lcd) -> None:
        for listener in self._listeners:
            listener(lcd)

    def _boot_log(self, text: str) -> None:
        if self.spec.boot_log:
            self.say(f"[boot] {text}")

    def _reset(self) -> None:
        self._reset_wanted = False
        self.session.stop()
        if self.spec.line.usb:
            if self._registration is not None:
                self._registration.withdraw()
            self.face.replug()
        self._boot()
        if self.spec.line.usb and self._registration is not None:
            self._registration.announce(self.face.name)

    # -- the line

    def _receive(self) -> None:
        """Reads as fast as the line carries: pacing goes on while a request is being served."""
        most = 256 if self._pacer_in.on else 65_536
        while not self._closed:
            idle = self._pacer_in.on and not self.face.waiting()
            data = self.face.read(most)
            if not data:
                return
            if self._pacer_in.on:
                self._pacer_in.carry(len(data), waited=idle)
            for request in self._server.feed(self._noise_in.through(data)):
                self._requests.put(request)

    def _serve(self) -> None:
        turnaround_s = self.spec.line.turnaround_ms / 1000
        while (request := self._requests.get()) is not None:
            if turnaround_s:
                self._turnaround.wait(turnaround_s)
            if self._closed:
                return
            self._server.serve(request)
            if self._reset_wanted:
                while not self._requests.empty():
                    self._requests.get()
                try:
                    self._reset()
                except UtbenchError as error:
                    self.say(f"[boot] {error}")  # it stays dark, but its line tells why
