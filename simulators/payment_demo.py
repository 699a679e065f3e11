"""A payment made on a terminal's own pages over its port, as a hand would make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.errors import UtbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.groups import Screen
    from devices.terminal import Terminal

SEE_S = 10.0
AMOUNT_WON = 15_000  # the guide's own example
BALANCE_WON = 897_894


@dataclass(frozen=True, slots=True)
class Paid:
    """What the done page showed."""

    approval_no: str
    amount_won: int
    balance_won: int


def pay_retroactively(terminal: Terminal, tell: Callable[[str, Screen], None]) -> Paid:
    """070101 by card, retroactive, 15,000원 for 1월 5일, as the guide's pages ① to ⑦. `tell` hears each page."""

    def see(text: str, doing: str) -> Screen:
        seen = terminal.wait(text=text, timeout_s=SEE_S)
        if seen is None:
            page = terminal.screen()
            raise UtbenchError(f"{doing}: {text!r} does not appear; the screen shows:\n{page.text}", "")
        tell(doing, seen)
        return seen

    def keys(text: str) -> None:
        for key in text:
            terminal.press(key)

    see("발달재활", "first page")
    terminal.touch("발달재활")
    terminal.touch("카드결제")
    terminal.tap("recipient-070101")
    keys("1001")
    terminal.touch("확인")
    see(f"{BALANCE_WON:,}원", "① 서비스메인")
    terminal.touch("서비스결제")
    terminal.touch("소급결제")
    see("소급결제", "② 결제방식선택")
    terminal.touch("확인")
    see("소급결제 주의 사항", "③ 소급결제 주의사항")
    terminal.touch("다음")
    keys("0105")
    see("실제 서비스 제공일자", "④ 결제일자 입력")
    terminal.touch("확인")
    keys(str(AMOUNT_WON))
    see("결제 금액을 입력해 주세요.", "⑤ 결제금액 입력")
    terminal.touch("확인")
    terminal.touch("단말기 분실")
    see("소급결제사유", "⑥ 소급결제사유")
    terminal.touch("확인")
    fields = see("서비스 결제가 완료되었습니다.", "⑦ 서비스결제완료").fields
    paid = Paid(fields.get("approval_no", ""), _won(fields.get("amount")), _won(fields.get("balance")))
    terminal.touch("확인")
    return paid


def _won(text: str | None) -> int:
    digits = "".join(char for char in text or "" if char.isdigit())
    return int(digits) if digits else -1
