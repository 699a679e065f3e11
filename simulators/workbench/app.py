"""The workbench's Textual app: one path for every key, one for every finger, Lcds in return."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textual import work
from textual.app import App
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from simulators.host.people import PEOPLE, cards
from simulators.operator import get_json
from simulators.workbench.keys import KEYS
from simulators.workbench.panes import Card, CardChoice, Help, Tapped, ledger_line, trace_line
from terminal.canvas import Sheet, draw
from terminal.lcd import Led
from terminal.state import Act, CardRead, KeyPress
from terminal.widget import LcdView

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events
    from textual.app import ComposeResult

    from devices.profiles import Profile
    from simulators.device import SimulatedDevice
    from terminal.lcd import Lcd
    from terminal.state import Event

TRACE_LINES = 11
LEDGER_LINES = 6
LAMPS = {Led.POWER: "[green]■[/]", Led.BUSY: "[yellow]■[/]", Led.ALARM: "[red]■[/]"}
MONEY = frozenset({"paid", "reversed"})  # events after which the ledger is read again


@dataclass
class LcdChanged(Message):
    """From the terminal's own thread."""

    lcd: Lcd


class Bench(NamedTuple):
    """The terminal on the screen, and the voucher host whose ledger is shown."""

    device: SimulatedDevice
    host_url: str


class Workbench(App[None]):
    """Opens at once, with the terminal still dark; `start` makes the bench meanwhile, on a thread of its own.

    What `start` raises ends the app and is kept in `failure`.
    """

    CSS_PATH = Path(__file__).with_name("workbench.tcss")
    TITLE = "utbench"
    AUTO_FOCUS = None  # one path for a key: nothing here takes the keyboard
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-medium"), (120, "-wide")]  # noqa: RUF012 - Textual's own way
    VERTICAL_BREAKPOINTS = [(0, "-short"), (25, "-tall")]  # noqa: RUF012 - under 25 rows the case has no frame
    BINDINGS = [  # noqa: RUF012 - Textual's own way
        # Tab would move a focus that nothing here has
        Binding(bound.key, bound.action, bound.text, priority=bound.key == "tab")
        for bound in KEYS
    ]

    def __init__(self, model: Profile, start: Callable[[], Bench]) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self._model = model
        self._start = start
        self._bench: Bench | None = None
        self._ledger: list[str] = []
        self._entries: list[dict[str, Any]] = []
        self._last_seq = 0
        self._seen = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="case"):
            yield LcdView(draw(Sheet("off", "", ()), self._model))
        with Vertical(id="side"):
            with Vertical(id="panes"):
                cards = VerticalScroll(*(Card(card) for card in PEOPLE.cards), id="cards", can_focus=False)
                cards.border_title = "카드 — 누르거나 F4"
                yield cards
                log = Vertical(Static(id="trace"), id="log")
                log.border_title = "기록과 원장"
                yield log
            hints = "  ".join(f"{bound.label} {bound.text}" for bound in KEYS if bound.label)
            workers = ", ".join(worker.payment_id for worker in PEOPLE.workers)
            yield Static(Content(f"{hints}\n제공인력 결제 ID {workers}"), id="hints")

    def on_mount(self) -> None:
        self.query_one("#case").border_title = self._model.name
        self._make_bench()

    @work(thread=True, group="bench")
    def _make_bench(self) -> None:
        try:
            bench = self._start()
        except BaseException as error:  # noqa: BLE001 - whoever opened the workbench says it
            self.failure = error
            self.call_from_thread(self.exit)
            return
        self.call_from_thread(self._begin, bench)

    def _begin(self, bench: Bench) -> None:
        self._bench = bench
        bench.device.listen(self._changed)
        self.on_lcd_changed(LcdChanged(bench.device.session.lcd))
        self._read_ledger()

    def _changed(self, lcd: Lcd) -> None:
        """On the terminal's thread; posting is safe from any."""
        self.post_message(LcdChanged(lcd))

    def _post(self, event: Event) -> None:
        if self._bench is not None:
            self._bench.device.session.post(event)

    def on_lcd_changed(self, message: LcdChanged) -> None:
        if self._bench is None:
            return
        device = self._bench.device
        self.query_one(LcdView).show(message.lcd)
        case = self.query_one("#case")
        release = device.session.state.release
        lamps = "".join(LAMPS[led] for led in Led if led in message.lcd.leds)
        case.border_title = f"{self._model.name} · 결제버전 {release.payment_version} {lamps}"
        case.border_subtitle = device.face.name
        if message.lcd.beep:
            self.bell()
        self._show_trace()

    def on_lcd_view_touched(self, message: LcdView.Touched) -> None:
        self._post(Act(message.action))

    def on_tapped(self, message: Tapped) -> None:
        number = cards().get(message.card)
        if number is not None:
            self._post(CardRead(number))

    def on_key(self, event: events.Key) -> None:
        """Digits, full-width ones too; every other key is a binding."""
        digit = unicodedata.normalize("NFKC", event.character or "")
        if len(digit) == 1 and digit in "0123456789" and len(self.screen_stack) == 1:
            event.stop()
            self._post(KeyPress(digit))

    def action_press(self, key: str) -> None:
        if len(self.screen_stack) > 1:
            return  # a list or the help is open over the terminal
        self._post(KeyPress(key))

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
        events = self._bench.device.session.log_since(0) if self._bench else []
        if any(event["kind"] in MONEY and event["seq"] > self._seen for event in events):
            self._read_ledger()
        self._seen = events[-1]["seq"] if events else 0
        lines = [trace_line(event) for event in events[-TRACE_LINES:]]
        self.query_one("#trace", Static).update(Content("\n".join([*self._ledger, "", *lines])))

    @work(thread=True, exclusive=True, group="ledger")
    def _read_ledger(self) -> None:
        if self._bench is None:
            return
        try:
            while news := get_json(f"{self._bench.host_url}/sim/ledger?after={self._last_seq}"):
                entries: list[dict[str, Any]] = news
                self._last_seq = entries[-1]["seq"]
                self._entries = (self._entries + entries)[-LEDGER_LINES:]
        except (OSError, ValueError):
            lines = ["원장: 서버에 접속하지 못했습니다."]
        else:
            lines = ["원장", *(ledger_line(entry) for entry in self._entries)]
        self.call_from_thread(self._set_ledger, lines)

    def _set_ledger(self, lines: list[str]) -> None:
        self._ledger = lines
        self._show_trace()
