"""`view(state) → Lcd`: what stands on each page, read from the release, the answers and the draft. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devices.profiles import profile
from terminal import flow
from terminal.canvas import Boxes, Choice, Item, Pair, Sheet, Text, draw
from terminal.fields import FIELDS, Do, Kind, squeeze
from terminal.lcd import Led, Style, clean, won
from terminal.state import Phase

if TYPE_CHECKING:
    import datetime as dt

    from terminal.fields import Field
    from terminal.lcd import Lcd, Target
    from terminal.release import Page
    from terminal.state import State

HOME_TITLE = "사회서비스 전자바우처"


def view(state: State) -> Lcd:
    page = flow.open_page(state)
    sheet = _release_page(state, page) if page else _device_page(state)
    return replace(draw(sheet, profile(state.model)), leds=_leds(state, page))


def _leds(state: State, page: Page | None) -> frozenset[Led]:
    name = flow.screen(state)
    waits = FIELDS[page.fields[0]].kind is Kind.HOST if page else name in (flow.BOOTING, flow.REVERSING)
    lit = {
        Led.POWER: name != flow.OFF,
        Led.BUSY: waits,
        Led.ALARM: name in (flow.NOTICE, flow.UNREGISTERED, flow.REVERSING),
    }
    return frozenset(led for led, on in lit.items() if on)


def _release_page(state: State, page: Page) -> Sheet:
    program = flow.program_of(state)
    title = page.title.replace("{program}", program.name if program else "")
    shown = {name: _row(state, name) for name in page.show}
    items: list[Item] = [Text(page.prompt)] if page.prompt else []
    items += [Pair(name, state.release.texts[name], value) for name, value in shown.items()]
    values = dict(shown)
    for name in page.fields:
        items += _field(state, page, FIELDS[name])
        values |= {box.name: state.draft.get(box.name, "") for box in FIELDS[name].boxes}
        if FIELDS[name].kind is Kind.RADIO:
            values[name] = state.draft.get(name, "")
    if "receipt" in page.fields and state.pending is not None and state.pending.attempt > 1:
        items.append(Text(f"응답이 없어 다시 시도하고 있습니다. ({state.pending.attempt - 1}회)", Style.NOTE))
    if page.note:
        items.append(Text(page.note, Style.NOTE))
    return Sheet(
        screen=page.name,
        title=title,
        items=tuple(items),
        buttons=flow.buttons(page),
        keypad=bool(flow.boxes(page)),
        scroll=state.scroll,
        fields=values,
        beep="done" in page.fields,
    )


def _field(state: State, page: Page, field: Field) -> list[Item]:
    chosen = state.draft.get(field.name)
    texts = state.release.texts
    match field.kind:
        case Kind.MENU:
            return [
                Choice(label, f"{Do.CHOOSE}:{value}", value == chosen, ">" if value == chosen else " ")
                for value, label in flow.choices(state, field)
            ]
        case Kind.RADIO:
            return [
                Choice(label, f"{Do.CHOOSE}:{value}", value == chosen, "●" if value == chosen else "○")
                for value, label in flow.choices(state, field)
            ]
        case Kind.TYPED:
            names = [box.name for _, box in flow.boxes(page)]
            focus = names[min(state.focus, len(names) - 1)]
            recall = [Choice(texts["recall"], Do.RECALL, chosen=False)] if field.recall else []
            if field.recall and not any(state.draft.get(box.name) for box in field.boxes):
                return [Text(texts["empty"], Style.FOCUS), *recall]
            return [
                Boxes(
                    texts.get(field.name, "") if len(field.boxes) > 1 else "",
                    tuple(
                        (state.draft.get(box.name, ""), box.digits, texts.get(box.suffix, ""), box.name == focus)
                        for box in field.boxes
                    ),
                ),
                *recall,
            ]
    return []


def _row(state: State, name: str) -> str:
    """What a row shows of what is known: of the voucher, and after paying of the receipt."""
    known = state.answers.get("receipt") or state.answers.get("voucher")
    if known is None:
        return ""
    match name:
        case "institution" | "recipient" | "approval_no":
            return clean(str(getattr(known, name)))
        case "program_code":
            return clean(known.program)
        case "balance":
            return won(known.balance_won)
        case "amount":
            return won(known.amount_won)
        case "served_on":
            return _date(known.service_date)
    return ""


def _date(date: dt.date) -> str:
    return f"{date.month}월 {date.day}일"


def _device_page(state: State) -> Sheet:
    name = flow.screen(state)
    match name:
        case flow.OFF:
            return Sheet(name, "", ())
        case flow.BOOTING:
            return Sheet(name, HOME_TITLE, (Text("등록정보를 확인하고 있습니다."),))
        case flow.UNREGISTERED:
            items = (Text("등록되지 않은 단말기입니다."), Text(state.registration_note, Style.NOTE))
            return Sheet(name, HOME_TITLE, items, (("메뉴", Do.MENU),))
        case flow.REVERSING:
            return _reversing(state)
        case flow.NOTICE:
            return _notice(state)
        case flow.MENU:
            texts = state.release.texts
            return Sheet(name, texts["menu"], (Choice(texts["info"], Do.INFO, chosen=False),), (("이전", Do.PREVIOUS),))
    return _info(state)


def _reversing(state: State) -> Sheet:
    pending = state.pending
    amount = won(pending.amount_won) if pending else ""
    items: list[Item] = [
        Text("결제 결과를 확인하지 못했습니다."),
        Text(f"{amount} 결제를 취소(망취소)하고 있습니다. 전원을 끄지 마십시오."),
    ]
    if pending is not None and pending.phase is Phase.REVERSING and pending.attempt > 1:
        items.append(Text(f"서버에 접속하지 못했습니다. 오류코드 0104 ({pending.attempt - 1}회)", Style.NOTE))
    return Sheet(flow.REVERSING, "망취소", tuple(items))


def _notice(state: State) -> Sheet:
    notice = state.notice
    items: list[Item] = [Text(notice.text if notice else "")]
    if notice and notice.code:
        items.append(Text(f"오류코드 {notice.code}", Style.NOTE))
    return Sheet(flow.NOTICE, "알림", tuple(items), (("확인", Do.OK),), beep=True)


def _info(state: State) -> Sheet:
    values = {
        "model": profile(state.model).name,
        "terminal_no": state.terminal_no,
        "payment_version": str(state.release.payment_version),
        "sw_version": state.release.sw_version,
    }
    items = tuple(Pair(name, state.release.texts[name], value) for name, value in values.items())
    return Sheet(flow.INFO, state.release.texts["info"], items, (("이전", Do.PREVIOUS),), fields=values)


def find_target(lcd: Lcd, label: str) -> Target | str:
    """The target of that label (spaces ignored), else of that unique beginning, else why not: `none`, `ambiguous`."""
    wanted = squeeze(clean(label))
    exact = [target for target in lcd.targets if squeeze(target.label) == wanted]
    if exact:
        return exact[0]
    begins = [target for target in lcd.targets if wanted and squeeze(target.label).startswith(wanted)]
    if len({target.action for target in begins}) > 1:
        return "ambiguous"
    return begins[0] if begins else "none"
