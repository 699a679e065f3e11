"""The rules of paying that terminal and host share: numbers as data, decisions as functions of values.

Pure. A rule's number and its basis stand beside it: S the update guide, P a public source,
A assumed here, so that a later source can replace an assumption. Won are integers, dates KST dates.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass

from terminal.codes import Code

SESSION_S = 300  # R1 [S for biometric, A for card and QR]: at 300 s the voucher session is closed
SKEW_S = 300  # R20 [P]
AMOUNT_UNIT_WON = 10  # R13 [A for amounts that are keyed in]
RETRO_MONTHS = 1  # R4 [A]: to the end of the next month

CARD_NOT_CARRIED = "대상자 카드 미소지 등"
REASONS = (  # S, in the order of the page
    "통신음영지역",
    "단말기 분실, 고장 등",
    "카드 분실, 훼손 등",
    "제공인력 단말기 조작 미숙 등",
    CARD_NOT_CARRIED,
    "서버 접속 실패(0104 오류 등)",
    "이용자 또는 제공인력 카드 발급 전",
    "단말기업그레이드 등",
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`code` is a row of `terminal.codes`, `rule` the rule that refuses (`R4`)."""

    code: Code
    rule: str


def service_date(month: int, day: int, today: dt.date) -> dt.date | Refusal:
    """R5 [A]: the date page has no year, so the latest such date that is not after `today`.

    Refused where no such day exists, or where the latest one lies outside R4 for every reason.
    """
    for year in (today.year, today.year - 1):  # R4 never reaches further back
        try:
            date = dt.date(year, month, day)
        except ValueError:
            continue
        if date <= today:
            return date if today <= _last_day_to_pay(date) else Refusal(Code.RETRO, "R4")
    return Refusal(Code.DATE, "R5")


def retro_allowed(service_date: dt.date, reason: str, today: dt.date) -> Refusal | None:
    """R4: 카드 미소지 only on the service day [S], other reasons to the end of the next month [A]; never the future."""
    if reason not in REASONS:
        return Refusal(Code.REASON, "R4")
    if service_date > today:
        return Refusal(Code.DATE, "R5")
    last = service_date if reason == CARD_NOT_CARRIED else _last_day_to_pay(service_date)
    return Refusal(Code.RETRO, "R4") if today > last else None


def amount_refusal(amount_won: int, balance_won: int) -> Refusal | None:
    """0원 is refused (R6 [A]), so is what is no multiple of 10원 (R13 [A]) or over the balance [A]."""
    if amount_won <= 0:
        return Refusal(Code.AMOUNT, "R6")
    if amount_won % AMOUNT_UNIT_WON:
        return Refusal(Code.AMOUNT, "R13")
    return Refusal(Code.BALANCE, "R14") if amount_won > balance_won else None


def skew_refused(terminal_time: dt.datetime, host_time: dt.datetime) -> Refusal | None:
    """R20 [P]: clocks that differ by 300 s or more, either way, never approve."""
    skew = abs(terminal_time - host_time)
    return Refusal(Code.SKEW, "R20") if skew >= dt.timedelta(seconds=SKEW_S) else None


def session_refused(opened_at: dt.datetime, now: dt.datetime) -> Refusal | None:
    """R1: open to the end of second 299, closed at 300."""
    return Refusal(Code.SESSION, "R1") if now - opened_at >= dt.timedelta(seconds=SESSION_S) else None


def _last_day_to_pay(service_date: dt.date) -> dt.date:
    months = service_date.year * 12 + service_date.month - 1 + RETRO_MONTHS
    year, month = months // 12, months % 12 + 1
    return dt.date(year, month, calendar.monthrange(year, month)[1])
