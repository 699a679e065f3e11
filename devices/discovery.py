"""Which terminals are attached. A port is written to only if it is known to be ours: by this site's USB ids,
because the user named it, or because a simulated device of ours registered it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices import registry
from devices.clock import monotonic_s
from devices.errors import NoAnswer, PortNotFound, UtbenchError
from devices.link import DEFAULT_BAUD, open_link
from devices.lock import FileLock, lock_name
from devices.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.groups import Identity, SlotState, Status
    from devices.home import Home

RECONNECT_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Candidate:
    """A port worth asking. `serial` is what the bus says of it (USB serial number, our registry), if anything."""

    port: str
    source: str
    serial: str = ""
    location: str = ""
    usb_id: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate's answer, or why there is none."""

    candidate: Candidate
    identity: Identity | None = None
    status: Status | None = None
    slots: tuple[SlotState, ...] = ()
    error: UtbenchError | None = None


def serial_ports() -> list[Candidate]:
    """Every serial port of this machine that hangs on USB; none is opened."""
    from serial.tools import list_ports

    return [
        Candidate(port.device, "usb", port.serial_number or "", port.location or "", (port.vid, port.pid))
        for port in list_ports.comports()
        if port.vid is not None and port.pid is not None
    ]


def candidates(home: Home, named: tuple[str, ...] = ()) -> list[Candidate]:
    """The ports named; without any, this site's USB terminals and the simulated devices that run."""
    simulated = [Candidate(entry.port, "simulated", entry.serial) for entry in registry.running(home.run)]
    known = {candidate.port: candidate for candidate in (*_usb(home), *simulated)}
    if named:
        known = {candidate.port: candidate for candidate in serial_ports()} | known
        return [known.get(port, Candidate(port, "named")) for port in named]
    return list(known.values())


def _usb(home: Home) -> list[Candidate]:
    ids = home.usb_ids()
    return [port for port in serial_ports() if port.usb_id in ids] if ids else []


class OpenTerminal(Terminal):
    """A terminal whose port is locked for as long as it is open, against other copies of ourselves."""

    def __init__(
        self, home: Home, port: str, *, baud: int = DEFAULT_BAUD, on_log: Callable[[str], None] | None = None
    ) -> None:
        self._lock = FileLock(home.locks / lock_name(port), port)
        try:
            super().__init__(open_link(port, home, baud=baud), on_log=on_log)
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        super().close()
        self._lock.close()


def ask(home: Home, candidate: Candidate, *, baud: int = DEFAULT_BAUD) -> Found:
    """Open, identify, close. Failures are values: one bad port never hides the others."""
    try:
        with OpenTerminal(home, candidate.port, baud=baud) as terminal:
            identity = terminal.identity()
            return Found(candidate, identity, terminal.status(), terminal.slots())
    except UtbenchError as error:
        return Found(candidate, error=error)


def discover(home: Home, named: tuple[str, ...] = (), *, baud: int = DEFAULT_BAUD) -> list[Found]:
    """Ask all candidates at once."""
    ports = candidates(home, named)
    if not ports:
        return []
    with ThreadPoolExecutor(len(ports)) as pool:
        return list(pool.map(lambda candidate: ask(home, candidate, baud=baud), ports))


def find_again(
    home: Home,
    candidate: Candidate,
    serial: str,
    *,
    timeout_s: float,
    baud: int = DEFAULT_BAUD,
    meanwhile: Callable[[], None] = lambda: None,
) -> OpenTerminal:
    """After a reset: the terminal of that serial number, at whatever port it is now.

    `meanwhile` is called while nothing is found; it may raise to end the search.
    A port is recognised by what the bus says of it, never by its name; the terminal's own serial number decides.
    """
    import threading

    until = monotonic_s() + timeout_s
    pause = threading.Event()
    last: UtbenchError | None = None
    while monotonic_s() < until:
        for port in _same(home, candidate):
            try:
                terminal = OpenTerminal(home, port, baud=baud)
            except UtbenchError as error:
                last = error
                continue
            try:
                if terminal.identity().serial == serial:
                    return terminal
            except UtbenchError as error:
                last = error
            terminal.close()
        meanwhile()
        pause.wait(RECONNECT_PAUSE_S)  # a bus has no event that every platform offers
    raise NoAnswer(
        f"The terminal {serial} did not come back within {timeout_s:.0f} s after its restart.",
        "Check its power and cable, then run the same command again: it goes on from here.",
    ) from last


def _same(home: Home, candidate: Candidate) -> list[str]:
    if candidate.source == "simulated":
        return [entry.port for entry in registry.running(home.run) if entry.serial == candidate.serial]
    if candidate.source == "usb":
        key = (candidate.serial, candidate.usb_id) if candidate.serial else (candidate.location, candidate.usb_id)
        return [
            port.port
            for port in serial_ports()
            if key == ((port.serial if candidate.serial else port.location), port.usb_id)
        ]
    return [candidate.port]


def one(home: Home, port: str | None) -> Candidate:
    """The port named, or the only terminal attached."""
    if port:
        return candidates(home, (port,))[0]
    ports = candidates(home)
    if len(ports) == 1:
        return ports[0]
    if not ports:
        raise PortNotFound(
            "No terminal is attached.",
            "Plug one in, name its port with --port, or start one with `utbench sim device`.",
        )
    names = ", ".join(candidate.port for candidate in ports)
    raise PortNotFound(f"Several terminals are attached: {names}.", "Name one with --port.")
