"""What the terminal refuses, how it says so, and that nothing else happens."""

import datetime as dt

import pytest

from devices.clock import KST
from terminal.codes import CODES
from terminal.rules import REASONS
from terminal.state import CardRead, Lookup, Pay
from tests.terminal.bench import REPLY_LOST, REQUEST_LOST, Bench, at_page

SESSION_S = 300


def refused(bench, code):
    """A notice with that code; 확인 leaves everything as it was before the refusal."""
    before = bench.state
    asked = list(bench.host.asked)
    bench.press("ok")
    assert bench.screen == "notice"
    assert (bench.state.notice.code, bench.state.notice.text != "") == (code, True)
    if code:
        row = CODES[code]
        assert (row.korean in bench.lcd.text, row.remedy in bench.lcd.text) == (True, True)
        assert f"오류코드 {code}" in bench.lcd.text
    bench.touch("확인")
    assert bench.state == before
    assert bench.host.asked == asked
    assert bench.sent(Pay) == []


@pytest.mark.parametrize(
    ("amount", "code"),
    [("", ""), ("0", "SIM-AMOUNT"), ("15005", "SIM-AMOUNT"), ("897900", "SIM-BALANCE"), ("999999990", "SIM-BALANCE")],
)
def test_an_amount_is_refused(amount, code):
    """Nothing, 0원, what is no multiple of 10원 and what is over the balance stay on the page, with what was typed."""
    bench = at_page("amount")
    bench.press(*amount)
    refused(bench, code)
    bench.press(*["back"] * 9, *"15000", "ok")
    assert bench.screen == "reason"


def test_the_whole_balance_can_be_paid():
    """An amount that is exactly the balance, in tens, is not over it."""
    bench = at_page("amount")
    bench.press(*"897890", "ok")
    assert bench.screen == "reason"


@pytest.mark.parametrize(
    ("date", "code"),
    [
        ("", ""),
        ("01", ""),
        ("0230", "SIM-DATE"),
        ("1301", "SIM-DATE"),
        ("0000", "SIM-DATE"),
        ("0229", "SIM-DATE"),
        ("0106", "SIM-RETRO"),
        ("1130", "SIM-RETRO"),
    ],
)
def test_a_date_is_refused(date, code):
    """An empty box, a day that does not exist, tomorrow (that is last year's) and a month too far back."""
    bench = at_page("service-date")
    bench.press(*date)
    refused(bench, code)


@pytest.mark.parametrize(("date", "means"), [("0105", (2026, 1, 5)), ("0101", (2026, 1, 1)), ("1201", (2025, 12, 1))])
def test_a_date_is_the_latest_such_day(date, means):
    """The page has no year: the latest such day that is not after today, to the end of the month after it."""
    bench = at_page("service-date")
    bench.press(*date, "ok")
    assert bench.state.answers["service_date"] == dt.date(*means)


def test_card_not_carried_is_for_today_only():
    """카드 미소지 with yesterday's date is refused; another reason is not, nor is 카드 미소지 today."""
    bench = Bench()
    bench.to_reason(date="0104")
    bench.touch("대상자 카드 미소지")
    refused(bench, "SIM-RETRO")
    bench.touch("통신음영지역", "확인")
    assert (bench.screen, bench.lcd.fields["served_on"]) == ("done", "1월 4일")
    today = Bench()
    today.pay_retro("대상자 카드 미소지")
    assert today.screen == "done"


@pytest.mark.parametrize(("name", "sentence"), [("reason", "사유"), ("kind", "방식"), ("worker", "결제 ID")])
def test_nothing_chosen_is_refused(name, sentence):
    """확인 with nothing chosen or typed says what is missing and stays."""
    bench = at_page(name)
    refused(bench, "")
    bench.press("ok")
    assert sentence in bench.lcd.text


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_pays(reason):
    """Each of the eight reasons reaches the host as it stands on the page."""
    bench = Bench("ut-55l")
    bench.pay_retro(reason)
    assert bench.screen == "done"
    assert bench.sent(Pay)[0].transaction.reason == reason


@pytest.mark.parametrize(
    ("program", "card", "worker", "code", "then"),
    [
        ("발달재활", "recipient-no-contract", "1001", "2207", "card"),
        ("발달재활", "recipient-other-program", "1001", "2206", "card"),
        ("발달재활", "recipient-lost", "1001", "SIM-CARD", "card"),
        ("발달재활", "recipient-070101", "2001", "0273", "worker"),
        ("발달재활", "recipient-070101", "7", "0273", "worker"),
    ],
)
def test_the_host_declines_a_lookup(program, card, worker, code, then):
    """Its code and sentence are shown; after 확인 the card is asked for again, and the right one pays."""
    bench = Bench()
    bench.to_voucher(program, card, worker)
    assert (bench.screen, bench.state.notice.code) == ("notice", code)
    assert CODES[code].remedy in bench.lcd.text
    bench.touch("확인")
    assert bench.screen == then
    bench.tap()
    bench.press(*"1001", "ok")
    assert bench.screen == "voucher"


@pytest.mark.parametrize("skew_s", [300, -300, 86_400])
def test_a_wrong_clock_never_approves(skew_s):
    """From 300 s of difference on every lookup is declined with 0101; a payment whose session is open, too."""
    bench = Bench()
    bench.host.skew_s = skew_s
    bench.to_voucher()
    assert bench.state.notice.code == "0101"
    bench = at_page("reason")
    bench.host.skew_s = skew_s
    bench.touch("단말기 분실", "확인")
    assert (bench.state.notice.code, bench.host.balance_won()) == ("0101", 897_894)
    bench.touch("확인")
    assert bench.screen == "voucher"


@pytest.mark.parametrize("fate", [REQUEST_LOST, REPLY_LOST])
def test_a_host_that_does_not_answer_a_lookup(fate):
    """0104 is shown, the worker's ID is asked again, and nothing is owed."""
    bench = Bench()
    bench.host.fate = lambda _what: fate
    bench.to_voucher()
    assert bench.state.notice.code == "0104"
    bench.touch("확인")
    assert bench.screen == "worker"
    assert bench.journal.load() is None


@pytest.mark.parametrize("name", ["voucher", "kind", "caution", "service-date", "amount", "reason"])
def test_the_session_closes_after_five_minutes(name):
    """At 299 s of business time the page is as it was, at 300 s the session is closed with its notice, everywhere."""
    bench = at_page(name)
    before = bench.state
    bench.advance(SESSION_S - 1)
    assert bench.state == before
    bench.advance(1)
    assert (bench.screen, bench.state.notice.code) == ("notice", "SIM-SESSION")
    bench.touch("확인")
    assert bench.screen == "program"
    assert "card" not in bench.state.answers
    assert bench.debits() == {}


def test_the_session_closes_by_business_time():
    """Real seconds alone close nothing; the page that stood still for an hour with business time stopped still pays."""
    bench = at_page("reason")
    bench.transport_s += 3600
    bench.advance(0)
    bench.touch("단말기 분실", "확인")
    assert bench.screen == "done"


def test_an_old_sessions_timer_closes_no_new_session():
    """Each session has its own five minutes: the timer of the one before means nothing to the next."""
    bench = at_page("voucher")
    bench.advance(200)
    bench.press("cancel")
    bench.to_voucher()
    bench.advance(200)
    assert bench.screen == "voucher"
    bench.advance(100)
    assert bench.state.notice.code == "SIM-SESSION"


def test_the_done_page_outlasts_the_session():
    """Once paid, the receipt stays until 확인, however long that takes."""
    bench = Bench()
    bench.pay_retro()
    bench.advance(3600)
    assert bench.screen == "done"


@pytest.mark.parametrize("where", ["menu of the next", "notice"])
def test_a_session_closes_under_a_notice(where):
    """A notice that is open gives way to that of the closing; afterwards the first page opens."""
    bench = at_page("voucher")
    bench.touch("거래취소")
    assert bench.screen == "notice"
    bench.advance(SESSION_S)
    assert bench.state.notice.code == "SIM-SESSION"
    bench.touch("확인")
    if where == "notice":
        assert bench.screen == "program"
    else:
        assert bench.touch("메뉴").screen == "menu"


def test_the_guide_morning_is_korean():
    """Dates on pages are KST dates: at 00:30 in Korea yesterday is over."""
    bench = at_page("service-date")
    bench.now = dt.datetime(2026, 1, 6, 0, 30, tzinfo=KST)
    bench.press(*"0106", "ok")
    assert bench.state.answers["service_date"] == dt.date(2026, 1, 6)


@pytest.mark.parametrize("number", ["", "9" * 65])
def test_a_card_that_was_read_badly(number):
    """An empty or endless card says so at once, the host is not asked, and the card can be held there again."""
    bench = at_page("card")
    bench.apply(CardRead(number))
    assert (bench.screen, bench.sent(Lookup)) == ("notice", [])
    assert "SIM-CARD" in bench.lcd.text
    bench.touch("확인")
    assert bench.screen == "card"
