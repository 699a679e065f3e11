"""The workbench: a terminal on the screen, one path for every key, cards to tap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from devices.clock import monotonic_s
from devices.home import Home
from simulators.host.people import PEOPLE
from simulators.make import Order
from simulators.picture import svg
from simulators.workbench.app import Bench, Workbench
from simulators.world import World, WorldSpec
from terminal.lcd import Lcd
from terminal.state import CardRead, KeyPress
from terminal.widget import LcdView, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.pilot import Pilot

DEADLINE_S = 15.0


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    spec = WorldSpec(orders=(Order("ut-99l", 1004),), pace=0.0)
    with World(Home(tmp_path_factory.mktemp("home")), spec) as running:
        yield running


def run(world: World, columns: int, rows: int, story: Callable[[Workbench, Pilot], object]) -> None:
    """Open the workbench on the world's terminal, wait for its first page, and play a story on it."""
    device = world.devices[0]
    if device.session.lcd.screen != "program":
        for _ in range(2):  # off and on: back to the first page
            device.session.apply(KeyPress("power"))
    assert device.session.wait(lambda lcd: lcd.screen == "program", DEADLINE_S) is not None

    async def play() -> None:
        app = Workbench(device.profile, lambda: Bench(device, world.host.url))
        async with app.run_test(size=(columns, rows)) as pilot:
            await until(pilot, lambda: shown(app) == "program")
            await story(app, pilot)

    asyncio.run(play())


async def until(pilot: Pilot, holds: Callable[[], bool]) -> None:
    end = monotonic_s() + DEADLINE_S
    while not holds():
        assert monotonic_s() < end, "not reached in time"
        await pilot.pause(0.01)


def shown(app: Workbench) -> str:
    return app.query_one(LcdView)._lcd.screen


@pytest.mark.parametrize(("columns", "rows"), [(60, 24), (80, 23), (80, 40), (128, 30)])
def test_the_whole_terminal_is_on_the_screen(world, columns, rows):
    """At 60, 80 and 128 columns every row of the terminal is drawn, none is cut off."""

    async def story(app: Workbench, pilot: Pilot) -> None:
        view = app.query_one(LcdView)
        assert (view.size.width, view.size.height) == (36, 23)
        assert view.region.bottom <= rows
        assert app.query_one("#side").display is (columns >= 80)

    run(world, columns, rows, story)


def test_one_enter_is_one_press(world):
    """Enter reaches the terminal once: a highlighted program is chosen, and the means page behind it is not left."""

    async def story(app: Workbench, pilot: Pilot) -> None:
        await pilot.press("down", "enter")
        await until(pilot, lambda: shown(app) == "means")
        await pilot.pause()
        assert shown(app) == "means"

    run(world, 80, 24, story)


def test_a_payment_by_keys_and_mouse(world):
    """A card chosen with F4, digits (full-width ones too), a button clicked: the voucher page shows the balance."""

    async def story(app: Workbench, pilot: Pilot) -> None:
        await pilot.press("down", "enter")
        await until(pilot, lambda: shown(app) == "means")
        await pilot.press("down", "enter")
        await until(pilot, lambda: shown(app) == "card")
        await pilot.press("f4")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("enter")
        await until(pilot, lambda: shown(app) == "worker")
        await pilot.press("1", "０", "0", "1")
        lcd = world.devices[0].session.lcd
        ok = next(target for target in lcd.targets if target.label == "확인")
        await pilot.click(LcdView, offset=(ok.col + 3, ok.row))
        await until(pilot, lambda: shown(app) == "voucher")
        assert "897,894원" in world.devices[0].session.lcd.text

    run(world, 128, 30, story)


def test_tab_goes_from_month_to_day(world):
    """Tab is 다음: it leaves a month of one digit for the day, and moves nothing else."""

    async def story(app: Workbench, pilot: Pilot) -> None:
        session = world.devices[0].session
        session.touch("발달재활")
        session.touch("카드결제")
        session.apply(CardRead(PEOPLE.cards[0].number))
        await until(pilot, lambda: shown(app) == "worker")
        await pilot.press("1", "0", "0", "1", "enter")
        await until(pilot, lambda: shown(app) == "voucher")
        for label in ("서비스결제", "소급결제", "확인", "다음"):
            session.touch(label)
        await until(pilot, lambda: shown(app) == "service-date")
        await pilot.press("2", "tab", "3")
        await until(pilot, lambda: session.lcd.fields["day"] == "3")
        assert session.lcd.fields["month"] == "2"

    run(world, 80, 24, story)


def test_a_card_is_tapped_with_the_mouse(world):
    """A click on a card holds it to the reader."""

    async def story(app: Workbench, pilot: Pilot) -> None:
        await pilot.press("down", "enter")
        await until(pilot, lambda: shown(app) == "means")
        await pilot.press("down", "enter")
        await until(pilot, lambda: shown(app) == "card")
        await pilot.click(".card")
        await until(pilot, lambda: shown(app) == "worker")

    run(world, 128, 30, story)


def test_the_ledger_is_shown(world):
    """The host's ledger stands beside the terminal, one line for each grant at least."""

    async def story(app: Workbench, pilot: Pilot) -> None:
        await until(pilot, lambda: str(app.query_one("#trace").content).count("지급") == len(PEOPLE.vouchers))

    run(world, 128, 40, story)


def test_a_start_that_fails_ends_the_workbench(world):
    """When the bench cannot be made, the app closes and keeps the reason."""

    def fail() -> Bench:
        raise RuntimeError("no room")

    async def play() -> None:
        app = Workbench(world.devices[0].profile, fail)
        async with app.run_test() as pilot:
            await until(pilot, lambda: app.failure is not None)
        assert str(app.failure) == "no room"

    asyncio.run(play())


def test_a_picture_puts_every_hangul_on_its_cells():
    """In a picture each character stands at its own cell, two cells for Hangul."""
    lcd = Lcd("page", "", 8, 1, ("가1 나  ",))
    picture = svg([segments(lcd, 0)], lcd.cols, paper="#ffffff", ink="#000000")
    assert '<text x="0 18 36"' in picture
