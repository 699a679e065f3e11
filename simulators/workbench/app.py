"""The workbench's Textual app: one path for every key, one for every finger, Lcds in return."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import App
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from simulators.host.people import PEOPLE
from simulators.operator import get_json
from simulators.workbench.keys import KEYS
from simulators.workbench.panes import Card, CardChoice, Help, Tapped, ledger_line, trace_line
from terminal.state import Act, CardRead, KeyPress
from terminal.widget import LcdView

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from simulators.device import SimulatedDevice
    from terminal.lcd import Lcd

TRACE_LINES = 14
LEDGER_LINES = 10
MONEY = frozenset({"paid", "reversed"})  # events after which the ledger is read again


@dataclass
class LcdChanged(Message):
    """From the terminal's own thread."""

    lcd: Lcd


class Workbench(App[None]):
    """`device` is the terminal on the screen, `host_url` the voucher host whose ledger is shown."""

    CSS_PATH = Path(__file__).with_name("workbench.tcss")
    TITLE = "utbench"
    AUTO_FOCUS = None  # one path for a key: nothing here takes the keyboard
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-medium"), (120, "-wide")]  # noqa: RUF012 - Textual's own way
    VERTICAL_BREAKPOINTS = [(0, "-short"), (25, "-tall")]  # noqa: RUF012 - under 25 rows the case has no frame
    BINDINGS = [  # noqa: RUF012 - Textual's own way
        Binding(bound.key, bound.action, bound.text) for bound in KEYS
    ]

    def __init__(self, device: SimulatedDevice, host_url: str) -> None:
        super().__init__()
        self._device = device
        self._host_url = host_url
        self._ledger: list[str] = []
        self._seen = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="case"):
            yield LcdView(self._device.session.lcd)
        with Vertical(id="side"):
            with Vertical(id="panes"):
                cards = VerticalScroll(*(Card(card) for card in PEOPLE.cards), id="cards", can_focus=False)
                cards.border_title = "카드 — 누르거나 F4"
                yield cards
                log = Vertical(Static(id="trace"), id="log")
                log.border_title = "기록과 원장"
                yield log
            hints = "  ".join(f"{bound.label} {bound.text}" for bound in KEYS if bound.label)
            yield Static(Content(hints), id="hints")

    def on_mount(self) -> None:
        self._device.listen(self._changed)
        self.on_lcd_changed(LcdChanged(self._device.session.lcd))
        self._read_ledger()

    def _changed(self, lcd: Lcd) -> None:
        """On the terminal's thread; posting is safe from any."""
        self.post_message(LcdChanged(lcd))

    def on_lcd_changed(self, message: LcdChanged) -> None:
        self.query_one(LcdView).show(message.lcd)
        case = self.query_one("#case")
        release = self._device.session.state.release
        case.border_title = f"{self._device.profile.name} · 결제버전 {release.payment_version}"
        case.border_subtitle = self._device.face.name
        if message.lcd.beep:
            self.bell()
        self._show_trace()

    def on_lcd_view_touched(self, message: LcdView.Touched) -> None:
        self._device.session.post(Act(message.action))

    def on_tapped(self, message: Tapped) -> None:
        number = self._device.card_number(message.card)
        if number is not None:
            self._device.session.post(CardRead(number))

    def on_key(self, event: events.Key) -> None:
        """Digits, full-width ones too; every other key is a binding."""
        digit = unicodedata.normalize("NFKC", event.character or "")
        if len(digit) == 1 and digit in "0123456789" and len(self.screen_stack) == 1:
            event.stop()
            self._device.session.post(KeyPress(digit))

    def action_press(self, key: str) -> None:
        self._device.session.post(KeyPress(key))

    def action_tap(self) -> None:
        self.push_screen(CardChoice(PEOPLE.cards), self._chosen)

    def _chosen(self, card: str | None) -> None:
        if card is not None:
            self.post_message(Tapped(card))

    def action_trace(self) -> None:
        self.screen.toggle_class("trace")

    def action_help(self) -> None:
        self.push_screen(Help(KEYS))

    def _show_trace(self) -> None:
        events = self._device.session.log_since(0)
        if any(event["kind"] in MONEY and event["seq"] > self._seen for event in events):
            self._read_ledger()
        self._seen = events[-1]["seq"] if events else 0
        lines = [trace_line(event) for event in events[-TRACE_LINES:]]
        self.query_one("#trace", Static).update(Content("\n".join([*lines, "", *self._ledger])))

    @work(thread=True, exclusive=True)
    def _read_ledger(self) -> None:
        try:
            entries: list[dict[str, Any]] = get_json(f"{self._host_url}/sim/ledger")
        except (OSError, ValueError):
            lines = ["원장: 서버에 접속하지 못했습니다."]
        else:
            lines = ["원장", *(ledger_line(entry) for entry in entries[-LEDGER_LINES:])]
        self.call_from_thread(self._set_ledger, lines)

    def _set_ledger(self, lines: list[str]) -> None:
        self._ledger = lines
        self._show_trace()
