"""The terminal as a function: `step(state, event, moment) → (state, effects)`. All transitions are here.

    OFF ──power──▸ BOOTING ──Registered──▸ ON: an unanswered payment is reversed first
                                           notice, menu, or the flow's first page with an open question

Pure; a decline or a time-out is an event, an exception is a bug. Events that do not fit the page that
is open change nothing: they are late, or meant for another page.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from terminal import flow, payment
from terminal.codes import Code
from terminal.contract import CARD_CHARS
from terminal.fields import FIELDS, Do, Kind
from terminal.rules import SESSION_S
from terminal.state import (
    Act,
    After,
    CardRead,
    Due,
    Effect,
    Event,
    KeyPress,
    Log,
    LookedUp,
    Lookup,
    Moment,
    Paid,
    Power,
    Register,
    Registered,
    Remember,
    Reversed,
    State,
    Step,
    Timer,
    Unsaved,
)
from terminal.view import view

if TYPE_CHECKING:
    from terminal.release import Page


def step(state: State, event: Event, moment: Moment) -> Step:
    before = flow.screen(state)
    after, effects = _react(state, event, moment)
    if flow.screen(after) != before:
        after, more = _enter(after, before, moment)
        effects += more
    return after, effects


def _react(state: State, event: Event, moment: Moment) -> Step:
    match event:
        case KeyPress(key):
            action = flow.key_action(state, key)
            return _react(state, Act(action), moment) if action else (state, ())
        case Act(Do.POWER):
            return _power(state)
        case _ if state.power is Power.OFF:
            return state, ()
        case Registered(ok, note):
            return _registered(state, ok, note)
        case Paid():
            return payment.paid(state, event, moment)
        case Reversed():
            return payment.reversed_(state, event)
        case LookedUp():
            return _looked_up(state, event)
        case Unsaved():
            return payment.unsaved(state, event)
        case Due():
            return payment.timer(state, event)
        case CardRead(number):
            return _card(state, number), ()
        case Act(action):
            return _act(state, action, moment), ()
    return state, ()


def _card(state: State, number: str) -> State:
    """A card counts on the page that asks for one; one that was read badly says so at once."""
    page = flow.open_page(state)
    if page is None or "card" not in page.fields:
        return state
    if not 0 < len(number) <= CARD_CHARS:
        return replace(state, notice=flow.code_notice(Code.CARD, "", ""))
    return state.answer("card", number)


def _power(state: State) -> Step:
    """Off forgets what was being typed, never an unsettled payment."""
    if state.power is Power.OFF:
        return replace(state.at_first_page(), power=Power.BOOTING), (Log("power", {"on": True}), Register())
    return replace(state.at_first_page(), power=Power.OFF), (Log("power", {"on": False}),)


def _registered(state: State, ok: bool, note: str) -> Step:
    if state.power is not Power.BOOTING:
        return state, ()
    state = replace(state, power=Power.ON, registered=ok, registration_note=note)
    log = Log("registration", {"registered": ok, "note": note})
    if state.pending is None:
        return state, (log,)
    state, effects = payment.reverse(state)
    return state, (log, *effects)


def _looked_up(state: State, event: LookedUp) -> Step:
    page = flow.flow_page(state)
    if "voucher" not in page.fields or state.answers.get("lookup_token") != event.token:
        return state, ()
    asked_last = "worker_payment_id" if "worker_payment_id" in state.answers else "card"
    if event.answer is None:
        return replace(state, notice=flow.host_unreached(asked_last)), (Log("lookup", {"outcome": "no answer"}),)
    answer = event.answer
    log = Log("lookup", {"outcome": answer.outcome, "code": answer.code})
    if answer.outcome != "approved" or answer.voucher is None:
        then = "worker_payment_id" if answer.code == Code.WORKER else "card"
        return replace(state, notice=flow.code_notice(answer.code, answer.message, then)), (log,)
    expiry = After(SESSION_S, Due(Timer.SESSION, answer.voucher.session_id), business=True)
    worker = str(state.answers.get("worker_payment_id", ""))
    keep = (Remember(worker),) if worker and worker != state.last_worker else ()
    opened = replace(state, last_worker=worker or state.last_worker).answer("voucher", answer.voucher)
    return opened, (log, expiry, *keep)


def _act(state: State, action: str, moment: Moment) -> State:
    verb, _, value = action.partition(":")
    if state.notice is not None:
        return _dismiss(state) if verb == Do.OK else state
    if state.menu:
        return _menu(state, verb)
    page = flow.open_page(state)
    if verb == Do.MENU and flow.has_menu(state):
        return replace(state, menu=flow.MENU)
    if page is None or FIELDS[page.fields[0]].kind is Kind.HOST:
        return state  # nothing to touch while the host is asked
    match verb:
        case Do.DIGIT:
            return flow.with_digit(state, page, value)
        case Do.ERASE:
            return flow.without_digit(state, page)
        case Do.RECALL:
            return flow.recalled(state, page)
        case Do.NEXT:
            return replace(state, focus=(state.focus + 1) % max(1, len(flow.boxes(page))))
        case Do.UP | Do.DOWN:
            return _move(state, page, -1 if verb == Do.UP else 1)
        case Do.PAGE:
            end = view(state).hidden
            return replace(state, scroll=0 if state.scroll >= end else min(state.scroll + int(value), end))
        case Do.CHOOSE:
            return _choose(state, page, value)
        case Do.OK:
            return _ok(state, page, moment)
        case Do.PREVIOUS:
            return flow.previous(state)
        case Do.CANCEL:
            return state.at_first_page()
    return state


def _dismiss(state: State) -> State:
    notice = state.notice
    state = replace(state, notice=None)
    return flow.drop(state, notice.then) if notice and notice.then else state


def _menu(state: State, verb: str) -> State:
    match verb:
        case Do.INFO | Do.OK if state.menu == flow.MENU:
            return replace(state, menu=flow.INFO)
        case Do.PREVIOUS | Do.CANCEL | Do.ERASE:
            return replace(state, menu=flow.MENU if state.menu == flow.INFO else "")
    return state


def _move(state: State, page: Page, by: int) -> State:
    """Up and down choose where there is something to choose, or call back what was typed last; else they scroll."""
    field = FIELDS[page.fields[0]]
    if field.recall:
        return flow.recalled(state, page)
    values = [value for value, _ in flow.choices(state, field)]
    if not values:
        return replace(state, scroll=min(max(0, state.scroll + by), view(state).hidden))
    at = values.index(state.draft[field.name]) + by if field.name in state.draft else min(by, 0)
    return replace(state, draft={**state.draft, field.name: values[at % len(values)]})


def _choose(state: State, page: Page, value: str) -> State:
    field = FIELDS[page.fields[0]]
    labels = flow.choices(state, field)
    offered = {f"{Do.CHOOSE}:{one}" for one, _ in labels} or {action for _, action in flow.buttons(page)}
    if f"{Do.CHOOSE}:{value}" not in offered:
        return state  # a touch that was meant for another page
    if field.kind is Kind.RADIO:
        return replace(state, draft={**state.draft, field.name: value})
    if field.name == "action" and value == "cancel":
        return replace(state, notice=flow.NO_CANCEL)
    return state.answer(field.name, value)


def _ok(state: State, page: Page, moment: Moment) -> State:
    field = FIELDS[page.fields[0]]
    if field.kind is Kind.MENU:
        chosen = state.draft.get(field.name)
        return state.answer(field.name, chosen) if chosen else state
    if field.kind in (Kind.CARD, Kind.BUTTON):
        return state
    if "done" in page.fields:
        return state.at_first_page()
    return flow.commit(state, page, moment.now)


def _enter(state: State, before: str, moment: Moment) -> Step:
    """Another page opens: nothing is typed on it yet; pages that the host answers ask it now."""
    keep = flow.NOTICE in (before, flow.screen(state))  # a message leaves what was typed under it
    if not keep:
        state = replace(state, draft={}, focus=0, scroll=0)
    effects: tuple[Effect, ...] = (Log("page", {"screen": flow.screen(state)}),)
    page = flow.open_page(state)
    if page is None:
        return state, effects
    if "voucher" in page.fields:
        state = state.answer("lookup_token", moment.fresh)
        return state, (*effects, _lookup(state, moment.fresh))
    if "receipt" in page.fields and state.pending is None:
        state, more = payment.begin(state, moment)
        return state, (*effects, *more)
    return state, effects


def _lookup(state: State, token: str) -> Lookup:
    answers = state.answers
    return Lookup(token, answers["program"], answers["means"], answers["card"], answers.get("worker_payment_id", ""))


def is_busy(state: State) -> bool:
    """A payment is under way or unsettled: not a moment to restart the terminal."""
    under_way = "card" in state.answers and "receipt" not in state.answers
    return state.pending is not None or under_way
