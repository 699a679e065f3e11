"""`utbench sim …`: the simulators as servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devices.clock import BusinessClock
from devices.commands.shell import command
from devices.profiles import FIRMWARE_MODELS, profile
from simulators.commands.serve import business_time, run_until_stopped

if TYPE_CHECKING:
    from devices.home import Home
    from devices.report import Report
    from simulators.make import Order

until_eof = click.option("--until-eof", is_flag=True, hidden=True, help="End when stdin does.")
at_option = click.option("--at", metavar="TIME", help="Business time at the start, as 2026-01-05T10:00. Default: now.")
baud_option = click.option(
    "--baud", default=0, type=click.IntRange(min=0), help="Hold the line to this speed. Default: as fast as it goes."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def sim() -> None:
    """The simulators as servers. Each prints its URL or port on the first line and runs until Ctrl-C."""


@command(
    sim,
    "device",
    examples="utbench sim device --model ut-77l --release 1013\n"
    "utbench sim device --model ut-99l --tcp 4001 --baud 921600 --turnaround-ms 5\n"
    "utbench sim device --model ut-55l --drop 1e-5 --usb",
)
@click.option("--model", required=True, help=f"One of {', '.join(FIRMWARE_MODELS)}.")
@click.option("--release", type=int, help="Leave the factory with this release. Default: what its flash holds.")
@click.option(
    "--number",
    default=1,
    type=click.IntRange(1, 999),
    show_default=True,
    help="Which of several terminals of one model.",
)
@click.option("--host", "host_url", metavar="URL", help="The voucher host it pays at.")
@click.option("--updates", "updates_url", metavar="URL", help="The update server that it asks at power-on.")
@click.option("--unregistered", is_flag=True, help="Unknown to the update server and to the host.")
@click.option(
    "--tcp", "tcp_port", type=click.IntRange(0, 65_535), help="A TCP port instead of a pty (0: any free one)."
)
@baud_option
@click.option("--turnaround-ms", default=0.0, type=click.FloatRange(min=0), help="What it takes to answer a request.")
@click.option("--drop", default=0.0, type=click.FloatRange(0, 1), help="Chance that a byte is lost.")
@click.option("--corrupt", default=0.0, type=click.FloatRange(0, 1), help="Chance that a byte is changed.")
@click.option(
    "--garbage", default=0.0, type=click.FloatRange(0, 1), help="Chance that bytes come after a byte that nobody sent."
)
@click.option(
    "--usb", is_flag=True, help="A reset disconnects the port, as USB does; it comes back under another name."
)
@click.option("--battery", default=87, type=click.IntRange(0, 100), show_default=True, help="Percent.")
@click.option("--buffers", default="2048x4", show_default=True, help="SMP buffers, size x count.")
@click.option(
    "--pace", default=0.0, type=click.FloatRange(min=0), help="Scales the registration check (1: the real 17 s)."
)
@click.option("--seed", default=1, show_default=True, help="Of the line's faults.")
@at_option
@until_eof
def device(report: Report, home: Home, **options: object) -> int:
    """One terminal on a serial port of its own: flash, bootloader, SMP, and the terminal that its release makes it."""
    from simulators.make import make_device

    order = _order(options)
    at = options["at"]
    running = make_device(home, order, BusinessClock(business_time(at if isinstance(at, str) else None)))
    try:
        return run_until_stopped(
            report,
            running.face.name,
            until_eof=bool(options["until_eof"]),
            port=running.face.name,
            model=order.model,
            serial=order.serial,
        )
    finally:
        running.close()


def _order(options: dict[str, object]) -> Order:
    from devices.errors import UsageError
    from simulators.line import LineSpec
    from simulators.make import Order

    line_options = ("baud", "turnaround_ms", "drop", "corrupt", "garbage", "usb", "seed")
    kept = ("release", "number", "host_url", "updates_url", "battery", "pace")
    size, _, count = str(options["buffers"]).partition("x")
    if not (size.isdigit() and count.isdigit() and int(size) >= 128 and int(count) >= 1):
        raise UsageError("--buffers must look like 2048x4, of at least 128 bytes.")
    return Order(
        model=profile(str(options["model"])).model,
        line=LineSpec(**{name: options[name] for name in line_options}),  # type: ignore[arg-type]
        registered=not options["unregistered"],
        tcp=options["tcp_port"] is not None,
        tcp_port=int(str(options["tcp_port"] or 0)),
        buf_size=int(size),
        buf_count=int(count),
        **{name: options[name] for name in kept},  # type: ignore[arg-type]
    )


@command(sim, "host", examples="utbench sim host\nutbench sim host --port 8100 --at 2026-01-05T10:00 --json")
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="TCP port (0: any free one).")
@click.option("--reset", is_flag=True, help="Begin with fresh books.")
@at_option
@until_eof
def host(report: Report, home: Home, port: int, reset: bool, at: str | None, until_eof: bool) -> int:
    """The voucher host: recipients, vouchers, payments, ledger. Terminals of this home may pay at it."""
    from simulators.host.server import HostServer
    from simulators.world import server_lock

    path = home.world / "host.sqlite"
    with server_lock(home, "host"):
        if reset:
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
        clock = BusinessClock(business_time(at))
        with HostServer(path, home.world / "terminals", clock, port=port) as server:
            return run_until_stopped(report, server.url, until_eof=until_eof, url=server.url)


@command(
    sim,
    "updates",
    examples="utbench sim updates\n"
    "utbench sim updates --port 8200 --publish image.bin --assign ut-77l-UT77L-0001=ut-77l-1014.bin",
)
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="TCP port (0: any free one).")
@click.option(
    "--publish", "images", multiple=True, type=click.Path(exists=True), help="Sign and offer an image. Again and again."
)
@click.option("--assign", "wishes", multiple=True, metavar="ID=FILE", help="Give a published file to a terminal.")
@at_option
@until_eof
def updates(
    report: Report,
    home: Home,
    port: int,
    images: tuple[str, ...],
    wishes: tuple[str, ...],
    at: str | None,
    until_eof: bool,
) -> int:
    """The update server: hawkBit's DDI for terminals, TUF metadata and targets for the agent."""
    from pathlib import Path

    from simulators.updates.server import UpdateServer
    from simulators.world import server_lock

    clock = BusinessClock(business_time(at))
    with (
        server_lock(home, "updates"),
        UpdateServer(home.world / "updates", home.world / "terminals", clock, port) as server,
    ):
        for image in images:
            report.say(f"published {server.store.publish(Path(image).read_bytes())}")
        for controller_id, _, name in (wish.partition("=") for wish in wishes):
            server.store.assign(controller_id, name)
            report.say(f"{controller_id} is to get {name}")
        root = home.world / "updates" / "root.json"
        root.write_bytes(server.root_bytes)
        report.say(f"Trust it with: utbench ota trust NAME {server.url} --root {root}")
        return run_until_stopped(report, server.url, until_eof=until_eof, url=server.url, root=str(root))


@command(sim, "world", examples="utbench sim world\nutbench sim world --baud 921600 --at 2026-01-05T10:00 --json")
@click.option(
    "--release",
    "which",
    type=click.Choice(["old", "new"]),
    default="old",
    show_default=True,
    help="Terminals' release.",
)
@click.option("--kept", is_flag=True, help="Terminals keep what their flash holds.")
@click.option("--no-devices", is_flag=True, help="Servers only.")
@baud_option
@click.option(
    "--pace", default=0.02, type=click.FloatRange(min=0), show_default=True, help="Scales the waits of the real thing."
)
@click.option("--seed", default=1, show_default=True, help="Of everything that is drawn by chance.")
@at_option
@until_eof
def world(report: Report, home: Home, **options: object) -> int:
    """The whole world: host, update server and a UT-99L, a UT-77L and a UT-55L on serial ports."""
    from simulators.make import Order
    from simulators.world import World, WorldSpec, usb_line

    def release(model: str) -> int | None:
        if options["kept"]:
            return None
        return profile(model).old_release if options["which"] == "old" else profile(model).new_release

    line = usb_line(int(str(options["baud"])))
    orders = (
        () if options["no_devices"] else tuple(Order(model, release(model), line=line) for model in FIRMWARE_MODELS)
    )
    at = options["at"]
    spec = WorldSpec(
        at=business_time(at if isinstance(at, str) else None),
        seed=int(str(options["seed"])),
        pace=float(str(options["pace"])),
        orders=orders,
    )
    with World(home, spec) as running:
        if not report.json_lines:
            report.say(f"voucher host {running.host.url}, update server {running.updates.url}")
            for serial, port in running.ports.items():
                report.say(f"{serial} at {port}")
        return run_until_stopped(
            report,
            running.host.url,
            until_eof=bool(options["until_eof"]),
            host=running.host.url,
            updates=running.updates.url,
            ports=running.ports,
        )
