"""The rules that terminal and host share, at their edges."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.clock import KST
from terminal import rules
from terminal.codes import CODES, Code
from terminal.rules import REASONS, Refusal, amount_refusal, retro_allowed, service_date, skew_refused

TODAY = dt.date(2026, 1, 5)
OTHER = "단말기 분실, 고장 등"
DATES = st.dates(dt.date(2020, 1, 1), dt.date(2035, 12, 31))


@pytest.mark.parametrize(
    ("month", "day", "today", "expected"),
    [
        (1, 5, TODAY, dt.date(2026, 1, 5)),
        (12, 25, TODAY, dt.date(2025, 12, 25)),
        (12, 1, dt.date(2026, 1, 31), dt.date(2025, 12, 1)),
        (2, 29, dt.date(2028, 3, 31), dt.date(2028, 2, 29)),
    ],
)
def test_the_date_page_means_the_latest_such_date_that_has_come(month, day, today, expected):
    """R5: a day without a year is the latest such date that is not after today."""
    assert service_date(month, day, today) == expected


@pytest.mark.parametrize(
    ("month", "day", "today"),
    [
        (1, 6, TODAY),
        (11, 30, TODAY),
        (12, 31, dt.date(2026, 2, 1)),
        (2, 29, dt.date(2028, 4, 1)),
    ],
)
def test_a_day_that_exists_but_is_too_long_ago_is_refused_by_the_window(month, day, today):
    """R5: outside R4 the date is refused, tomorrow's day too, as its latest one was a year ago."""
    assert service_date(month, day, today) == Refusal(Code.RETRO, "R4")


@pytest.mark.parametrize(("month", "day"), [(2, 30), (13, 1), (0, 1), (1, 0), (4, 31), (2, 29)])
def test_a_day_that_does_not_exist_is_refused(month, day):
    """R5: 2/30 never exists, 2/29 not in or before a year that is none of a leap year."""
    assert service_date(month, day, dt.date(2026, 3, 10)) == Refusal(Code.DATE, "R5")


@given(month=st.integers(0, 13), day=st.integers(0, 32), today=DATES)
def test_whatever_is_keyed_in_gives_a_payable_past_date_or_a_refusal(month, day, today):
    """R5: every date that the page accepts is that month and day, not after today, and within R4."""
    date = service_date(month, day, today)
    if isinstance(date, dt.date):
        assert (date.month, date.day) == (month, day)
        assert date <= today
        assert retro_allowed(date, OTHER, today) is None


@given(today=DATES)
def test_today_can_always_be_keyed_in(today):
    """Liveness of R5: today's month and day are today, in a leap year too."""
    assert service_date(today.month, today.day, today) == today


def test_a_card_left_at_home_allows_the_service_day_only():
    """R4: 카드 미소지 is for today; yesterday is refused."""
    assert retro_allowed(TODAY, rules.CARD_NOT_CARRIED, TODAY) is None
    refusal = retro_allowed(TODAY - dt.timedelta(days=1), rules.CARD_NOT_CARRIED, TODAY)
    assert refusal == Refusal(Code.RETRO, "R4")


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason != rules.CARD_NOT_CARRIED])
def test_other_reasons_reach_to_the_end_of_the_next_month(reason):
    """R4: a service of 31 December is payable on 31 January and refused on 1 February."""
    date = dt.date(2025, 12, 31)
    assert retro_allowed(date, reason, dt.date(2026, 1, 31)) is None
    assert retro_allowed(date, reason, dt.date(2026, 2, 1)) == Refusal(Code.RETRO, "R4")


@pytest.mark.parametrize("reason", REASONS)
def test_the_future_is_never_paid(reason):
    """R5: a service date after today is refused for every reason."""
    assert retro_allowed(TODAY + dt.timedelta(days=1), reason, TODAY) == Refusal(Code.DATE, "R5")


def test_only_the_eight_reasons_count():
    """The eight reasons are the guide's; any other text is refused."""
    assert len(REASONS) == len(set(REASONS)) == 8
    for text in ("", "기타", REASONS[0] + " "):
        assert retro_allowed(TODAY, text, TODAY) == Refusal(Code.REASON, "R4")


@pytest.mark.parametrize(
    ("amount_won", "code"),
    [(0, Code.AMOUNT), (-10, Code.AMOUNT), (5, Code.AMOUNT), (15_001, Code.AMOUNT), (897_900, Code.BALANCE)],
)
def test_amounts_that_cannot_be_paid(amount_won, code):
    """0원, what is no multiple of 10원, and what is over the balance are refused."""
    refusal = amount_refusal(amount_won, 897_894)
    assert refusal
    assert refusal.code == code


@pytest.mark.parametrize("amount_won", [10, 15_000, 897_890])
def test_amounts_that_can_be_paid(amount_won):
    """From 10원 up to the balance in tens."""
    assert amount_refusal(amount_won, 897_894) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_skew_is_refused_from_300_seconds_either_way(sign):
    """R20: 299 s pass, 300 s never approve, whichever clock is ahead and in whatever zone it is written."""
    now = dt.datetime(2026, 1, 5, 10, tzinfo=KST)
    assert skew_refused((now + sign * dt.timedelta(seconds=299)).astimezone(dt.UTC), now) is None
    assert skew_refused(now + sign * dt.timedelta(seconds=300), now) == Refusal(Code.SKEW, "R20")


def test_a_session_lasts_until_300_seconds():
    """R1: open at 4:59, closed at 5:00."""
    opened = dt.datetime(2026, 1, 5, 10, tzinfo=KST)
    assert rules.session_refused(opened, opened + dt.timedelta(seconds=299.999)) is None
    assert rules.session_refused(opened, opened + dt.timedelta(seconds=300)) == Refusal(Code.SESSION, "R1")


def test_every_code_has_its_words_and_where_they_come_from():
    """The table is whole: each code once, a sentence in both languages, a remedy, a basis of S, P or A."""
    assert set(CODES) == set(Code)
    for row in CODES.values():
        assert row.korean.endswith((".", "다."))
        assert row.english.endswith(".")
        assert row.remedy.endswith("오.")
        assert row.basis in {"S", "P", "A"}
        assert row.code.startswith("SIM-") <= (row.basis == "A")
