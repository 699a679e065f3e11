"""Makes the README's pictures (`python docs/make_pictures.py`): a real payment on a real world, cell by cell."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from textual.widgets import Static

from devices.home import Home
from simulators.host.people import cards
from simulators.make import Order
from simulators.picture import svg
from simulators.workbench.app import Bench, Workbench
from simulators.world import World, WorldSpec
from terminal.state import CardRead, KeyPress

PICTURES = Path(__file__).parent / "pictures"
SIZE = (128, 26)
WAIT_S = 10.0


def pay(world: World) -> None:
    """A retroactive payment up to its done page."""
    session = world.devices[0].session

    def see(page: str) -> None:
        if session.wait(lambda lcd: lcd.screen == page, WAIT_S) is None:
            raise SystemExit(f"{page} was not reached; the terminal shows:\n" + "\n".join(session.lcd.lines))

    def keys(text: str) -> None:
        for key in text:
            session.apply(KeyPress(key))

    see("program")
    session.touch("발달재활")
    session.touch("카드결제")
    session.apply(CardRead(cards()["recipient-070101"]))
    keys("1001")
    session.touch("확인")
    see("voucher")
    for label in ("서비스결제", "소급결제", "확인", "다음"):
        session.touch(label)
    keys("0105")
    session.touch("확인")
    keys("15000")
    session.touch("확인")
    session.touch("단말기 분실")
    session.touch("확인")
    see("done")


async def workbench(world: World) -> str:
    app = Workbench(world.devices[0].profile, lambda: Bench(world.devices[0], world.host.url))
    async with app.run_test(size=SIZE) as pilot:
        while "결제" not in str(app.query_one("#trace", Static).content):  # the ledger is read last
            await pilot.pause(0.05)
        await pilot.pause()
        rows = app.screen._compositor.render_strips()  # noqa: SLF001 - the only way to the cells as they are drawn
        return svg(rows, SIZE[0], paper="#14201b", ink="#e6f2ec")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec = WorldSpec(orders=(Order("ut-99l", 1004),))
        with World(Home(Path(folder)), spec) as world:
            pay(world)
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / "workbench.svg").write_text(asyncio.run(workbench(world)), "utf-8")


if __name__ == "__main__":
    main()
