"""Every response code, once: what the terminal shows, what it means, what to do.

Basis: S the update guide, P a public source, A assumed here. No public source lists further codes of
the real system, so every other refusal has one of our own, visibly so: `SIM-` and a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    SKEW = "0101"
    HOST_UNREACHED = "0104"
    WORKER = "0273"
    TERMINAL = "0304"
    PUSH_NO_LOGIN = "2003"
    PUSH_NO_MEMBER = "2005"
    PROGRAM = "2206"
    CONTRACT = "2207"
    END_AFTER_NOW = "3104"
    AMOUNT = "SIM-AMOUNT"
    APPROVAL = "SIM-APPROVAL"
    BALANCE = "SIM-BALANCE"
    CARD = "SIM-CARD"
    DATE = "SIM-DATE"
    MEANS = "SIM-MEANS"
    REASON = "SIM-REASON"
    RETRO = "SIM-RETRO"
    REVERSED = "SIM-REVERSED"
    SESSION = "SIM-SESSION"


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """`korean` is what the screen shows, `remedy` the Korean sentence that says what to do next."""

    code: Code
    korean: str
    english: str
    remedy: str
    basis: str


_TABLE = (
    ResponseCode(
        Code.SKEW,
        "단말기와 서버의 시각이 5분 이상 다릅니다.",
        "The clocks of terminal and host differ by five minutes or more.",
        "단말기의 날짜와 시각을 확인하십시오.",
        "P",
    ),
    ResponseCode(
        Code.HOST_UNREACHED,
        "서버에 접속하지 못했습니다.",
        "The host could not be reached.",
        "통신 상태를 확인하고 다시 시도하십시오.",
        "S",
    ),
    ResponseCode(
        Code.WORKER,
        "이 단말기에 등록되지 않은 제공인력입니다.",
        "The worker does not belong to this terminal.",
        "제공인력 결제 ID를 확인하십시오.",
        "P",
    ),
    ResponseCode(
        Code.TERMINAL,
        "사용할 수 없는 단말기입니다.",
        "The terminal may not be used: lost, suspended or unknown.",
        "제공기관에 단말기 등록 상태를 문의하십시오.",
        "P",
    ),
    ResponseCode(
        Code.PUSH_NO_LOGIN,
        "대상자 회원가입 및 로그인 상태를 확인하시기 바랍니다.",
        "The recipient has not installed the app, or never logged in after joining.",
        "이용자가 포털앱을 설치하고 로그인한 뒤 다시 보내십시오.",
        "S",
    ),
    ResponseCode(
        Code.PUSH_NO_MEMBER,
        "대상자 회원가입 및 로그인 상태를 확인하시기 바랍니다.",
        "Not a recipient, not a member of the portal, or a wrong number.",
        "대상자 여부와 스마트폰 번호를 확인하고 다시 보내십시오.",
        "S",
    ),
    ResponseCode(
        Code.PROGRAM,
        "해당 사업유형이 없습니다.",
        "There is no such program for this recipient.",
        "사업을 다시 선택하십시오.",
        "P",
    ),
    ResponseCode(
        Code.CONTRACT,
        "이용자와 제공기관의 계약이 없습니다.",
        "The recipient has no contract with this institution.",
        "제공기관에서 계약 정보를 확인하십시오.",
        "P",
    ),
    ResponseCode(
        Code.END_AFTER_NOW,
        "종료시간이 현재 시각보다 늦습니다.",
        "The end time is after now.",
        "종료시간을 다시 입력하십시오.",
        "P",
    ),
    ResponseCode(
        Code.AMOUNT,
        "결제할 수 없는 금액입니다.",
        "The amount is 0 won or not a multiple of 10 won.",
        "10원 단위로 금액을 다시 입력하십시오.",
        "A",
    ),
    ResponseCode(
        Code.APPROVAL,
        "이용자의 승인이 확인되지 않습니다.",
        "No approval of the recipient is on record for this means of payment.",
        "이용자에게 승인을 다시 요청하거나 카드로 결제하십시오.",
        "A",
    ),
    ResponseCode(
        Code.BALANCE,
        "잔액이 부족합니다.",
        "The amount is over the balance.",
        "잔액을 확인하고 금액을 다시 입력하십시오.",
        "A",
    ),
    ResponseCode(
        Code.CARD,
        "사용할 수 없는 카드입니다.",
        "The card is unknown or reported lost.",
        "이용자의 다른 카드를 확인하십시오.",
        "A",
    ),
    ResponseCode(
        Code.DATE,
        "제공날짜가 올바르지 않습니다.",
        "There is no such service date, or it lies in the future.",
        "제공날짜를 다시 입력하십시오.",
        "A",
    ),
    ResponseCode(
        Code.MEANS,
        "이 단말기에서 쓸 수 없는 결제수단입니다.",
        "This terminal does not offer that means of payment.",
        "카드결제를 선택하십시오.",
        "A",
    ),
    ResponseCode(
        Code.REASON,
        "소급결제사유가 올바르지 않습니다.",
        "The reason for the retroactive payment is missing or none of the eight.",
        "소급결제사유를 다시 선택하십시오.",
        "A",
    ),
    ResponseCode(
        Code.RETRO,
        "소급결제 기간이 지났습니다.",
        "The window for a retroactive payment of that day has closed.",
        "제공날짜와 소급결제사유를 확인하십시오.",
        "A",
    ),
    ResponseCode(
        Code.REVERSED,
        "망취소된 거래입니다.",
        "The transaction was reversed.",
        "처음부터 다시 결제하십시오.",
        "A",
    ),
    ResponseCode(
        Code.SESSION,
        "결제 시간이 지나 종료되었습니다.",
        "The voucher session is over, or is not this terminal's.",
        "처음부터 다시 결제하십시오.",
        "A",
    ),
)

CODES: dict[str, ResponseCode] = {row.code: row for row in _TABLE}
