"""The closed lists that a release may draw from: fields, rows to show, buttons. What is not here fails its self-test.

Pure data. A field is one question of a flow; a page is done when all its fields are answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a field is answered."""

    MENU = "menu"  # touch one of a list: the touch is the answer
    BUTTON = "button"  # touch one of the page's own buttons
    RADIO = "radio"  # choose one, then 확인
    TYPED = "typed"  # digits in boxes, then 확인
    CARD = "card"  # hold a card to the reader
    ACK = "ack"  # read, then 확인 or 다음
    HOST = "host"  # the voucher host answers


@dataclass(frozen=True, slots=True)
class Box:
    """One place for digits. `suffix` names the text that stands behind it."""

    name: str
    digits: int
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """`recall`: what was typed here last can be called back (직전ID선택)."""

    name: str
    kind: Kind
    boxes: tuple[Box, ...] = ()
    recall: bool = False


FIELDS = {
    field.name: field
    for field in (
        Field("program", Kind.MENU),
        Field("means", Kind.MENU),
        Field("card", Kind.CARD),
        Field("worker_payment_id", Kind.TYPED, (Box("worker_payment_id", 10),), recall=True),
        Field("voucher", Kind.HOST),
        Field("action", Kind.BUTTON),
        Field("kind", Kind.RADIO),
        Field("caution", Kind.ACK),
        Field("service_date", Kind.TYPED, (Box("month", 2, "month"), Box("day", 2, "day"))),
        Field("amount_won", Kind.TYPED, (Box("amount_won", 9),)),
        Field("reason", Kind.RADIO),
        Field("receipt", Kind.HOST),
        Field("done", Kind.ACK),
    )
}

# What a page may show of what is known by then; the label is the release's text of the same name.
ROWS = frozenset({"institution", "recipient", "program_code", "balance", "approval_no", "served_on", "amount"})

MEANS = ("card", "qr", "biometric")
KINDS = ("normal", "retro")


class Do(StrEnum):
    """What touching something does. Some carry a value behind a colon: `choose:070101`, `digit:7`, `page:6` (rows)."""

    OK = "ok"
    PREVIOUS = "previous"
    CANCEL = "cancel"
    MENU = "menu"
    INFO = "info"
    NEXT = "next"
    ERASE = "erase"
    RECALL = "recall"
    UP = "up"
    DOWN = "down"
    PAGE = "page"
    POWER = "power"
    CHOOSE = "choose"
    DIGIT = "digit"


# Labels are compared without spaces: the guide writes 서비스결제 and 서비스 결제.
BUTTONS = {
    "확인": Do.OK,
    "다음": Do.OK,
    "이전": Do.PREVIOUS,
    "취소": Do.CANCEL,
    "메뉴": Do.MENU,
    "서비스결제": f"{Do.CHOOSE}:payment",
    "거래취소": f"{Do.CHOOSE}:cancel",
}


def squeeze(label: str) -> str:
    return "".join(label.split())
