"""Where a terminal stands: the pages of its flow, and the first of them that has an open question.

Pure. Page order is the release's data; the position is derived from the answers, so a payment that was
under way survives a power cut and a change of release.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from terminal.codes import CODES, Code
from terminal.fields import BUTTONS, FIELDS, Box, Do, Field, Kind, squeeze
from terminal.rules import REASONS, Refusal, amount_refusal, retro_allowed, service_date
from terminal.state import Notice, Phase, Power, State

if TYPE_CHECKING:
    import datetime as dt

    from terminal.release import Page, Program

# Pages of the device itself, the same under every release.
OFF, BOOTING, UNREGISTERED, REVERSING, NOTICE, MENU, INFO = (
    "off",
    "booting",
    "unregistered",
    "reversing",
    "notice",
    "menu",
    "info",
)
DEVICE_PAGES = frozenset({OFF, BOOTING, UNREGISTERED, REVERSING, NOTICE, MENU, INFO})

NO_CANCEL = Notice("거래 취소는 이 단말기에서 아직 할 수 없습니다. 제공기관에 문의해 주십시오.")
EMPTY = {
    "worker_payment_id": "제공인력 결제 ID를 입력해 주세요.",
    "service_date": "제공날짜의 월과 일을 입력해 주세요.",
    "amount_won": "결제 금액을 입력해 주세요.",
    "kind": "결제 방식을 선택해 주세요.",
    "reason": "소급결제사유를 선택해 주세요.",
}


def path(state: State) -> tuple[Page, ...]:
    """The pages of the flow as far as the answers decide them."""
    release, answers = state.release, state.answers
    program = release.program(answers.get("program")) or release.programs[0]
    names = release.flows["identify", answers.get("means", program.means[0])]
    if answers.get("action") == "payment":
        kinds = release.kinds(program)
        if len(kinds) > 1:
            names += ("kind",)
        kind = answers.get("kind", kinds[0])
        if "kind" in answers or len(kinds) == 1:
            names += release.flows[program.kind, kind]
    return tuple(release.pages[name] for name in names)


def flow_page(state: State) -> Page:
    """The first page with an open question; the first of all when every question is answered."""
    pages = path(state)
    return next((page for page in pages if not set(page.fields) <= set(state.answers)), pages[0])


def screen(state: State) -> str:
    """The id of what is on the screen."""
    if state.power is Power.OFF:
        return OFF
    if state.power is Power.BOOTING:
        return BOOTING
    if state.pending is not None and state.pending.phase is Phase.REVERSING:
        return REVERSING
    if state.notice is not None:
        return NOTICE
    if state.menu:
        return state.menu
    return flow_page(state).name if state.registered else UNREGISTERED


def open_page(state: State) -> Page | None:
    """The release's page on the screen, or None while a page of the device itself is there."""
    name = screen(state)
    return None if name in DEVICE_PAGES else state.release.pages[name]


def has_menu(state: State) -> bool:
    """The first page has it, and so has the page of an unregistered terminal: its version can be read there."""
    page = open_page(state)
    return "program" in page.fields if page else screen(state) == UNREGISTERED


def program_of(state: State) -> Program | None:
    return state.release.program(state.answers.get("program"))


def boxes(page: Page) -> tuple[tuple[Field, Box], ...]:
    """Every place for digits on a page, in the order in which 다음 visits them."""
    return tuple((FIELDS[name], box) for name in page.fields for box in FIELDS[name].boxes)


def choices(state: State, field: Field) -> tuple[tuple[str, str], ...]:
    """(value, label) of what can be chosen for a field."""
    release = state.release
    program = program_of(state)
    match field.name:
        case "program":
            return tuple((one.code, one.name) for one in release.programs)
        case "means" if program:
            return tuple((means, release.texts[means]) for means in program.means)
        case "kind" if program:
            return tuple((kind, release.texts[kind]) for kind in release.kinds(program))
        case "reason":
            return tuple((reason, reason) for reason in REASONS)
    return ()


def buttons(page: Page) -> tuple[tuple[str, str], ...]:
    """(label, action) of a page's buttons, left to right."""
    return tuple((label, str(BUTTONS[squeeze(label)])) for label in page.buttons)


def with_digit(state: State, page: Page, digit: str) -> State:
    """Type into the box in focus; a full one hands on to the next. A Korean IME's full-width digits are digits."""
    places = boxes(page)
    figure = unicodedata.decimal(digit, None) if len(digit) == 1 else None
    if not places or figure is None:
        return state
    focus = min(state.focus, len(places) - 1)
    box = places[focus][1]
    typed = state.draft.get(box.name, "")
    if len(typed) >= box.digits:
        return state
    typed += str(figure)
    full = len(typed) == box.digits and focus + 1 < len(places)
    return replace(state, draft={**state.draft, box.name: typed}, focus=focus + full)


def without_digit(state: State, page: Page) -> State:
    """⌫: the last digit; from an empty box, of the box before it."""
    places = boxes(page)
    focus = min(state.focus, len(places) - 1) if places else 0
    while places and focus > 0 and not state.draft.get(places[focus][1].name):
        focus -= 1
    if not places:
        return state
    name = places[focus][1].name
    return replace(state, draft={**state.draft, name: state.draft.get(name, "")[:-1]}, focus=focus)


def recalled(state: State, page: Page) -> State:
    """직전ID선택: the payment ID of last time into its box."""
    field = next((FIELDS[name] for name in page.fields if FIELDS[name].recall), None)
    if field is None:
        return state
    if not state.last_worker:
        return replace(state, notice=Notice("직전에 사용한 ID가 없습니다. ID를 입력해 주세요."))
    return replace(state, draft={**state.draft, field.boxes[0].name: state.last_worker})


def commit(state: State, page: Page, now: dt.datetime) -> State:
    """확인: settle every field of the page, or say what is missing or refused and stay."""
    for name in page.fields:
        value = _value(state, FIELDS[name], now)
        if isinstance(value, Notice):
            return replace(state, notice=value)
        state = state.answer(name, value)
    return state


def _value(state: State, field: Field, now: dt.datetime) -> object:
    if field.kind is Kind.ACK:
        return True
    if field.kind is Kind.RADIO:
        chosen = state.draft.get(field.name)
        if chosen is None:
            return Notice(EMPTY[field.name])
        return _checked(state, field.name, chosen, now)
    typed = [state.draft.get(box.name, "") for box in field.boxes]
    if not all(typed):
        return Notice(EMPTY[field.name])
    if field.name == "service_date":
        date = service_date(int(typed[0]), int(typed[1]), now.date())
        return refusal(date) if isinstance(date, Refusal) else date
    if field.name == "amount_won":
        return _checked(state, field.name, int(typed[0]), now)
    return typed[0]


def _checked(state: State, name: str, value: object, now: dt.datetime) -> object:
    """What the terminal itself can refuse; the host checks everything again."""
    refused: Refusal | None = None
    if name == "amount_won" and isinstance(value, int):
        refused = amount_refusal(value, state.answers["voucher"].balance_won)
    elif name == "reason" and isinstance(value, str):
        refused = retro_allowed(state.answers["service_date"], value, now.date())
    return refusal(refused) if refused else value


def refusal(refused: Refusal) -> Notice:
    row = CODES[refused.code]
    return Notice(f"{row.korean} {row.remedy}", refused.code)


def code_notice(code: str, message: str, then: str) -> Notice:
    """What a refusal by the host says: its sentence, and the remedy that belongs to the code."""
    row = CODES.get(code)
    text = message or (row.korean if row else "거래가 거절되었습니다.")
    return Notice(f"{text} {row.remedy}" if row and row.remedy not in text else text, code, then)


def previous(state: State) -> State:
    """이전: reopen the question before this page's that a person answered."""
    names = [page.name for page in path(state)]
    page = flow_page(state)
    for name in reversed(names[: names.index(page.name)]):
        before = state.release.pages[name]
        if any(FIELDS[field].kind is not Kind.HOST for field in before.fields):
            return drop(state, before.fields[0])
    return state


def drop(state: State, field: str) -> State:
    """Reopen a field's page and every later one."""
    pages = path(state)
    at = next((n for n, page in enumerate(pages) if field in page.fields), 0)
    gone = {name for page in pages[at:] for name in page.fields}
    return replace(state, answers={name: value for name, value in state.answers.items() if name not in gone})


def host_unreached(then: str) -> Notice:
    return code_notice(Code.HOST_UNREACHED, "", then)


def key_action(state: State, key: str) -> str:
    """What a hardware key does on the page that is open; empty: nothing."""
    page = open_page(state)
    labels = buttons(page) if page else ()
    actions = [action for _, action in labels]
    if key.isdigit():
        return f"{Do.DIGIT}:{key}"
    match key:
        case "next":
            return Do.NEXT if page and boxes(page) else Do.OK
        case "back":
            return Do.ERASE
        case "cancel":
            return Do.CANCEL if Do.CANCEL in actions or Do.PREVIOUS not in actions else Do.PREVIOUS
        case "f1" | "f2" if actions:
            return actions[0 if key == "f1" else min(1, len(actions) - 1)]
        case "ok" | "up" | "down" | "menu" | "power":
            return key
    return ""
