"""`utbench device …`: one attached terminal, seen and driven over its port."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from devices import discovery
from devices.commands.shell import PORT_HELP, command, worst
from devices.errors import EXIT_NOTHING, RemoteError, UsageError, UtbenchError
from devices.groups import KEYS
from devices.link import DEFAULT_BAUD, open_link
from devices.smp import Rc

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.groups import Screen
    from devices.home import Home
    from devices.report import Report
    from devices.terminal import Terminal

port_option = click.option("--port", metavar="PORT", help=PORT_HELP + " Without it: the only one attached.")
baud_option = click.option("--baud", default=DEFAULT_BAUD, show_default=True, help="Speed of a serial port.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def device() -> None:
    """One attached terminal: look at it, press its keys, hold cards to it."""


def with_terminal(home: Home, port: str | None, baud: int, work: Callable[[Terminal], int]) -> int:
    candidate = discovery.one(home, port)
    with discovery.OpenTerminal(home, candidate.port, baud=baud) as terminal:
        terminal.identity()  # says plainly where something else is at the port
        return work(terminal)


@command(device, "list", examples="utbench device list\nutbench device list --port /dev/ttyUSB0 --port COM7 --json")
@click.option("--port", "ports", multiple=True, metavar="PORT", help=PORT_HELP + " Again and again.")
@baud_option
def list_(report: Report, home: Home, ports: tuple[str, ...], baud: int) -> int:
    """Which terminals are attached, with model, version, battery and slots.

    Asks this site's USB ids (config.toml), running simulated devices, and the ports named; no other port is written to.
    """
    found = discovery.discover(home, ports, baud=baud)
    if found and not report.json_lines:
        report.data(f"{'PORT':<30} {'MODEL':<8} {'SERIAL':<14} {'VERSION':<8} {'SLOT 1':<10} {'BATTERY':<8} STATE")
    for one in found:
        _list_row(report, one)
    if not found:
        others = ", ".join(
            f"{port.port} ({port.usb_id[0]:04x}:{port.usb_id[1]:04x})"
            for port in discovery.serial_ports()
            if port.usb_id
        )
        report.say(
            "No terminal is attached."
            + (f" Other USB ports: {others}; adopt one: `utbench device adopt PORT`." if others else "")
        )
        return report.result(EXIT_NOTHING)
    return report.result(worst(one.error.exit_code if one.error else 0 for one in found))


def _list_row(report: Report, one: discovery.Found) -> None:
    port = one.candidate.port
    if one.identity is None or one.status is None:
        error = one.error or UtbenchError("no answer")
        report.data(f"{port:<30} {error}")
        report.event("device", port=port, error={"code": error.code, "message": error.message, "hint": error.hint})
        return
    identity, status = one.identity, one.status
    other = next((slot.version for slot in one.slots if slot.slot == 1), "")
    battery = f"{status.battery} %" if status.battery is not None else "?"
    state = ("busy" if status.busy else status.screen) + ("" if identity.registered else ", not registered")
    version = identity.payment_version
    report.data(f"{port:<30} {identity.model:<8} {identity.serial:<14} {version:<8} {other:<10} {battery:<8} {state}")
    report.event(
        "device",
        port=port,
        source=one.candidate.source,
        **asdict(identity),
        battery=status.battery,
        busy=status.busy,
        slots=[slot.write() for slot in one.slots],
    )


@command(device, "info", examples="utbench device info --port /dev/ttyUSB0\nutbench device info --json")
@port_option
@baud_option
def info(report: Report, home: Home, port: str | None, baud: int) -> int:
    """Who the terminal is, what it runs, what its slots hold."""

    def work(terminal: Terminal) -> int:
        identity, status, slots = terminal.identity(), terminal.status(), terminal.slots()
        told = terminal.parameters()
        rows = {
            "port": terminal.port,
            "model": identity.model,
            "serial": identity.serial,
            "terminal": identity.terminal_no,
            "payment version": str(identity.payment_version),
            "software": identity.sw_version,
            "registered": "yes" if identity.registered else "no (as of its last power-on)",
            "power": status.power,
            "battery": f"{status.battery} %" if status.battery is not None else "unknown",
            "buffers": f"{told.buf_size} × {told.buf_count} bytes" if told else "not told",
        }
        for name, value in rows.items():
            report.data(f"{name:<16} {value}")
        for slot in slots:
            flags = " ".join(name for name in ("active", "confirmed", "pending", "permanent") if getattr(slot, name))
            report.data(f"{f'slot {slot.slot}':<16} {slot.version} {slot.digest.hex()[:16]} {flags}")
        report.event(
            "device",
            port=terminal.port,
            **asdict(identity),
            **{name: value for name, value in asdict(status).items() if name != "rev"},
            buffers=asdict(told) if told else None,
            slots=[slot.write() for slot in slots],
        )
        return report.result(0)

    return with_terminal(home, port, baud, work)


def _show(report: Report, screen: Screen) -> int:
    report.data(screen.text)
    report.event("screen", **asdict(screen))
    return report.result(0)


@command(device, "screen", examples="utbench device screen\nutbench device screen --port COM3 --json")
@port_option
@baud_option
def screen(report: Report, home: Home, port: str | None, baud: int) -> int:
    """What stands on the screen."""
    return with_terminal(home, port, baud, lambda terminal: _show(report, terminal.screen()))


@command(device, "press", examples="utbench device press 1 0 0 1 ok\nutbench device press power")
@click.argument("keys", nargs=-1, required=True)
@port_option
@baud_option
def press(report: Report, home: Home, keys: tuple[str, ...], port: str | None, baud: int) -> int:
    """Press KEYS one after the other: 0-9 ok cancel back next up down f1 f2 menu power. Shows the screen after them."""
    unknown = [key for key in keys if key not in KEYS]
    if unknown:
        raise UsageError(f"There is no key {unknown[0]!r}.", f"Keys: {' '.join(sorted(KEYS))}.")

    def work(terminal: Terminal) -> int:
        for key in keys:
            seen = terminal.press(key)
        return _show(report, seen)

    return with_terminal(home, port, baud, work)


def _touching(label: str, act: Callable[[], Screen]) -> Screen:
    try:
        return act()
    except RemoteError as error:
        reasons = {
            Rc.NO_ENTRY: f"There is no {label!r} on the screen.",
            Rc.BAD_VALUE: f"{label!r} fits more than one thing on the screen.",
            Rc.BAD_STATE: f"The page that is open does not take {label!r} now.",
        }
        if error.rc in list(reasons):
            raise UtbenchError(reasons[Rc(error.rc)], "`utbench device screen` shows what is there.") from error
        raise


@command(device, "touch", examples='utbench device touch 발달재활 카드결제\nutbench device touch "단말 정보"')
@click.argument("labels", nargs=-1, required=True)
@port_option
@baud_option
def touch(report: Report, home: Home, labels: tuple[str, ...], port: str | None, baud: int) -> int:
    """Touch buttons or items by their text, one after the other: spaces do not count, a unique beginning is enough."""

    def work(terminal: Terminal) -> int:
        for label in labels:
            seen = _touching(label, lambda label=label: terminal.touch(label))  # type: ignore[misc]
        return _show(report, seen)

    return with_terminal(home, port, baud, work)


@command(device, "tap", examples="utbench device tap recipient-070101")
@click.argument("card")
@port_option
@baud_option
def tap(report: Report, home: Home, card: str, port: str | None, baud: int) -> int:
    """Hold a test card to the reader (simulated devices only)."""

    def work(terminal: Terminal) -> int:
        try:
            return _show(report, _touching(card, lambda: terminal.tap(card)))
        except UtbenchError as error:
            if isinstance(error.__cause__, RemoteError) and error.__cause__.rc == Rc.NO_ENTRY:
                raise UtbenchError(
                    f"There is no test card {card!r}.", "`utbench` shows the cards; one of them is recipient-070101."
                ) from error
            raise

    return with_terminal(home, port, baud, work)


@command(device, "wait", examples='utbench device wait "승인번호"\nutbench device wait --screen done --timeout 30')
@click.argument("text", required=False)
@click.option("--screen", "page", metavar="ID", help="Wait for the page of that id instead of a text.")
@click.option("--timeout", "timeout_s", default=10.0, show_default=True, help="Seconds to wait at most.")
@port_option
@baud_option
def wait(
    report: Report, home: Home, text: str | None, page: str | None, timeout_s: float, port: str | None, baud: int
) -> int:
    """Wait until TEXT stands on the screen; the terminal watches, nobody polls. Exit code 1 when the time is up."""
    if (text is None) == (page is None):
        raise UsageError("Name a text, or a page with --screen.")

    def work(terminal: Terminal) -> int:
        seen = terminal.wait(text=text or "", screen=page or "", timeout_s=timeout_s)
        if seen is not None:
            return _show(report, seen)
        now = terminal.screen()
        report.data(now.text)
        raise UtbenchError(
            f"{text or page!r} was not seen within {timeout_s:g} s; the screen shows {now.screen!r}.",
            "Give it longer with --timeout, or look at the screen above.",
        )

    return with_terminal(home, port, baud, work)


@command(device, "log", examples="utbench device log\nutbench device log --since 120 --json")
@click.option("--since", default=0, help="Only events from this number on.")
@port_option
@baud_option
def log(report: Report, home: Home, since: int, port: str | None, baud: int) -> int:
    """What happened on the terminal since it was switched on."""

    def work(terminal: Terminal) -> int:
        following = since
        while True:
            events, at = terminal.log(following)
            for event in events:
                report.data(_log_line(event))
                report.event("log", kind=event.get("kind"), about=event)
            if not events or at <= following:
                return report.result(0, next=at)
            following = at

    return with_terminal(home, port, baud, work)


def _log_line(event: dict[str, Any]) -> str:
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("seq", "t_ms", "kind"))
    return f"{event.get('seq', 0):>5} {event.get('t_ms', 0) / 1000:>9.3f} s  {event.get('kind', '')} {rest}".rstrip()


@command(device, "reset", examples="utbench device reset --port /dev/ttyUSB0")
@port_option
@baud_option
def reset(report: Report, home: Home, port: str | None, baud: int) -> int:
    """Restart the terminal and wait until it answers again."""
    candidate = discovery.one(home, port)
    with discovery.OpenTerminal(home, candidate.port, baud=baud) as terminal:
        serial = terminal.identity().serial
        terminal.reset()
    with discovery.find_again(home, candidate, serial, timeout_s=60, baud=baud) as terminal:
        version = terminal.identity().payment_version
        report.data(f"{terminal.port}: {serial} runs payment version {version}")
        report.event("device", port=terminal.port, serial=serial, payment_version=version)
    return report.result(0)


@command(device, "console", examples="utbench device console --port /dev/ttyUSB0")
@port_option
@baud_option
def console(report: Report, home: Home, port: str | None, baud: int) -> int:
    """The terminal's text console: its log as it comes; type `help`, `info`, `screen`, `press 1`. Ctrl-C ends."""
    import threading

    from devices.framing import Decoder, LogLine
    from devices.lock import FileLock, lock_name

    candidate = discovery.one(home, port)
    with FileLock(home.locks / lock_name(candidate.port), candidate.port):
        link = open_link(candidate.port, home, baud=baud)

        def show() -> None:
            decoder = Decoder()
            try:
                while data := link.read():
                    for item in decoder.feed(data):
                        if isinstance(item, LogLine):
                            report.data(item.text)
                            report.event("log", text=item.text)
            except UtbenchError as error:
                report.error(error)

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        report.say(f"{candidate.port}: type `help`; Ctrl-C or Ctrl-D ends.")
        try:
            for line in sys.stdin:
                link.write(line.encode())
            thread.join(0.5)  # what the last line asked for
        except KeyboardInterrupt:
            report.say("")
        finally:
            link.close()
    return report.result(0)


@command(device, "adopt", examples="utbench device adopt /dev/ttyUSB0")
@click.argument("port")
def adopt(report: Report, home: Home, port: str) -> int:
    """Add the USB ids of the adapter at PORT to this site's list, so that `list` and `--all` find it.

    utbench writes to no port that it does not know; these ids say which ports are terminals here.
    """
    for candidate in discovery.serial_ports():
        if candidate.port == port and candidate.usb_id is not None:
            home.add_usb_id(*candidate.usb_id)
            vendor, product = candidate.usb_id
            report.data(
                f"{port}: {vendor:04x}:{product:04x} is a terminal here from now on ({home.path / 'config.toml'})"
            )
            report.event("adopted", port=port, usb_id=f"{vendor:04x}:{product:04x}")
            return report.result(0)
    known = ", ".join(one.port for one in discovery.serial_ports()) or "none"
    raise UsageError(f"{port} is no USB serial port.", f"USB serial ports here: {known}.")
