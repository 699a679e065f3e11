"""What stands beside the terminal: the cards, what happened, the ledger. None of it takes the keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from terminal.lcd import clean, fit, won

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual import events
    from textual.app import ComposeResult

    from simulators.host.people import TestCard
    from simulators.workbench.keys import Bound

LEDGER = {"grant": "지급", "payment": "결제", "reversal": "망취소"}
NAMES = {"question_mark": "?", "up": "↑", "down": "↓", "shift+f10": "Shift+F10", "ctrl+q": "Ctrl+Q"}
SAYING = {
    "power": "전원",
    "registration": "등록 확인",
    "page": "화면",
    "lookup": "바우처 조회",
    "payment": "결제 요청",
    "paid": "결제 응답",
    "no-answer": "응답 없음",
    "reversing": "망취소 시작",
    "reversed": "망취소 완료",
    "session-closed": "바우처 시간 종료",
    "unsaved": "저장 실패, 결제하지 않음",
    "journal-failed": "저널 저장 실패",
    "fault": "내부 오류",
}


@dataclass
class Tapped(Message):
    """A card was held to the reader."""

    card: str


class Card(Static):
    """One test card; a click taps it."""

    def __init__(self, card: TestCard) -> None:
        super().__init__(Content(f"{card.id}\n  {card.note}"), classes="card")
        self._card = card.id

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(Tapped(self._card))


class CardChoice(ModalScreen[str | None]):
    """F4: choose a card with the arrows; Esc leaves."""

    BINDINGS = [("escape", "dismiss(None)", "닫기")]  # noqa: RUF012 - Textual's own way

    def __init__(self, cards: Iterable[TestCard]) -> None:
        super().__init__()
        self._cards = tuple(cards)

    def compose(self) -> ComposeResult:
        options = [Option(Content(f"{card.id}  {card.note}"), id=card.id) for card in self._cards]
        choice = OptionList(*options)
        choice.border_title = "단말기에 댈 카드 — Enter로 태그, Esc 닫기"
        yield choice

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option.id)


class Help(ModalScreen[None]):
    """F1: every key."""

    BINDINGS = [("escape,enter,f1,question_mark", "dismiss", "닫기")]  # noqa: RUF012 - Textual's own way

    def __init__(self, keys: tuple[Bound, ...]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        lines = [
            "0–9         숫자",
            *(f"{NAMES.get(bound.key, bound.key.capitalize()):<11} {bound.text}" for bound in self._keys),
        ]
        text = Static(Content("\n".join([*lines, "", "마우스로 화면의 버튼과 카드를 눌러도 됩니다."])), id="help")
        text.border_title = "도움말 — Esc 닫기"
        yield text


def trace_line(event: dict[str, Any]) -> str:
    """One event of the device's log, for people."""
    kind = str(event.get("kind", ""))
    about = [
        won(event["amount_won"]) if "amount_won" in event else "",
        str(event.get("screen", "")),
        str(event.get("outcome", "")),
        str(event.get("code", "")),
        str(event.get("note", "")),
    ]
    return clean(
        f"{event.get('t_ms', 0) / 1000:8.2f}  {SAYING.get(kind, kind)} {' '.join(part for part in about if part)}"
    )


def ledger_line(entry: dict[str, Any]) -> str:
    """One row of the host's ledger."""
    what = LEDGER.get(entry["what"], str(entry["what"]))
    return f"{entry['seq']:>4} {fit(what, 8)} {fit(won(entry['amount_won']), 12, '>')}  {clean(_account(entry))}"


def _account(entry: dict[str, Any]) -> str:
    """The voucher that an entry is about, on whichever side it stands."""
    return next((str(entry[side])[8:] for side in ("debit", "credit") if str(entry[side]).startswith("voucher:")), "")
