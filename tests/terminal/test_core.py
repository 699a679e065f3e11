"""The terminal's core, page by page: flows, back and forth, late events, power."""

from dataclasses import replace

import pytest

from terminal import core, flow
from terminal.fields import FIELDS, Kind
from terminal.state import Act, CardRead, KeyPress, Registered
from terminal.view import find_target, view
from tests.terminal.bench import BOTH, KEYS, NEW, OLD, WAY, Bench, at_page

NORMAL = {"old": ("program", "means", "card", "worker", "voucher", "amount"), "new": (*WAY[:6], "amount")}


# -- flows


@pytest.mark.parametrize(("model", "number"), BOTH)
@pytest.mark.parametrize("program", ["070101", "070201", "008003"])
def test_a_normal_payment_reaches_its_done_page(model, number, program):
    """Under both releases, on every model, for every program, a payment that may succeed does."""
    names = {"070101": "발달재활", "070201": "언어발달", "008003": "부모상담"}
    recipients = {"070101": "rec-1", "070201": "rec-3", "008003": "rec-2"}
    bench = Bench(model, number)
    bench.to_voucher(names[program], f"recipient-{program}")
    before = bench.host.balance_won(recipients[program], program)
    bench.touch("서비스결제")
    if bench.screen == "kind":
        bench.touch("정상결제", "확인")
    bench.press(*"1000", "ok")
    assert bench.screen == "done"
    assert bench.host.balance_won(recipients[program], program) == before - 1000
    (transaction,) = {effect.transaction.id for effect in bench.sent(core.payment.Pay)}
    assert bench.host.entries(transaction) == ["payment"]
    assert bench.touch("확인").screen == "program"
    assert bench.state.answers == {}


@pytest.mark.parametrize(("number", "kinds"), [(OLD["ut-99l"], ("normal",)), (NEW["ut-99l"], ("normal", "retro"))])
def test_what_a_release_offers(number, kinds):
    """The kinds of payment of every program are those of the release."""
    release = Bench("ut-99l", number).release
    assert {release.kinds(program) for program in release.programs} == {kinds}


@pytest.mark.parametrize(("number", "pages"), [(1013, NORMAL["old"]), (1014, NORMAL["new"])])
def test_the_pages_of_a_normal_payment(number, pages):
    """The order of pages is the release's: under the old one no 결제방식 page stands between."""
    bench = Bench("ut-77l", number)
    bench.to_voucher()
    bench.touch("서비스결제")
    if bench.screen == "kind":
        bench.touch("정상결제", "확인")
    assert bench.screen == "amount"
    asked = [page.name for page in flow.path(bench.state) if FIELDS[page.fields[0]].kind is not Kind.HOST]
    assert tuple(asked) == (*pages, "done")


def test_a_normal_payment_is_served_today():
    """A normal payment sends neither a date nor a reason, also after the retroactive way was looked at."""
    bench = at_page("reason")
    for _ in range(4):
        bench.touch("이전")
    assert bench.screen == "kind"
    bench.touch("정상결제", "확인")
    bench.press(*"15000", "ok")
    (pay,) = bench.sent(core.payment.Pay)
    assert (pay.transaction.kind, pay.transaction.service_date, pay.transaction.reason) == ("normal", None, None)
    assert bench.screen == "done"


# -- back and forth


@pytest.mark.parametrize("at", range(1, len(WAY)))
def test_previous_reopens_the_question_before(at):
    """이전 leads from each page to the one that a person answered before it, with nothing chosen there."""
    bench = at_page(WAY[at])
    if find_target(bench.lcd, "이전") == "none":
        assert WAY[at] == "voucher"  # the guide draws no 이전 there
        return
    bench.touch("이전")
    assert bench.screen == WAY[at - 1]
    assert bench.state.draft == {}
    answered = set(bench.state.answers) - {"lookup_token"}
    assert answered == set(at_page(WAY[at - 1]).state.answers) - {"lookup_token"}


def test_previous_on_the_first_page_changes_nothing():
    """Where nothing came before, 이전 is no way out of the flow."""
    bench = Bench()
    before = bench.state
    bench.do(Act("previous"))
    assert bench.state == before


def test_going_back_behind_the_voucher_asks_the_host_again():
    """From the worker's page back and forth a new lookup is made; its session is the one that pays."""
    bench = at_page("voucher")
    first = bench.state.answers["voucher"].session_id
    bench.press("cancel")
    assert bench.screen == "program"
    bench.to_voucher()
    assert bench.state.answers["voucher"].session_id != first


@pytest.mark.parametrize("name", WAY[1:])
def test_cancel_key_leaves_or_goes_back(name):
    """취소 as a key is the page's 취소 or 이전, and nothing that was started is sent."""
    bench = at_page(name)
    bench.press("cancel")
    leaves = name in ("card", "voucher")
    assert bench.screen == ("program" if leaves else WAY[WAY.index(name) - 1])
    assert bench.debits() == {}


# -- late and foreign events


@pytest.mark.parametrize("name", WAY)
@pytest.mark.parametrize("action", ["choose:070101", "choose:normal", "choose:card", "choose:payment", "choose:x"])
def test_a_touch_meant_for_another_page_changes_nothing(name, action):
    """A choice that this page does not offer is late: no answer is made of it."""
    bench = at_page(name)
    offered = {target.action for target in bench.lcd.targets}
    before = bench.state
    bench.do(Act(action))
    assert (bench.state == before) is (action not in offered)


@pytest.mark.parametrize("name", [one for one in WAY if one != "card"])
def test_a_card_is_read_on_its_own_page_only(name):
    """A card held to the reader on any other page changes nothing."""
    bench = at_page(name)
    before = bench.state
    bench.do(CardRead("9999008003000025"))
    assert bench.state == before


@pytest.mark.parametrize("screen", ["lookup", "paying"])
def test_nothing_can_be_touched_while_the_host_is_asked(screen):
    """Keys and touches on a page that the host answers change nothing, and send nothing twice."""
    bench = at_page("worker" if screen == "lookup" else "reason")
    if screen == "lookup":
        bench.press(*"1001")
    else:
        bench.touch("단말기 분실")
    bench.apply(Act("ok"))
    assert bench.screen == screen
    before, asked = bench.state, list(bench.host.asked)
    for key in KEYS[:-1]:
        bench.apply(KeyPress(key))
    for action in ("ok", "cancel", "previous", "choose:payment", "digit:1"):
        bench.apply(Act(action))
    assert (bench.state, bench.host.asked) == (before, asked)


def test_a_card_number_is_in_no_log_and_no_repr():
    """Card data goes to the host and nowhere else: not into the log, nor into what a fault would print."""
    bench = Bench()
    bench.pay_retro()
    number = "9999070101000017"
    assert number not in str(bench.effects)
    assert number not in bench.lcd.text + str(bench.lcd.fields)
    assert number not in repr(CardRead(number))


# -- power


@pytest.mark.parametrize("name", WAY)
def test_off_and_on_again_begins_anew(name):
    """On each page: off is dark, on again opens the first page; only the last worker is kept."""
    bench = at_page(name)
    bench.press("power")
    assert (bench.screen, set("".join(bench.lcd.lines))) == ("off", {" "})
    dark = bench.state
    for key in KEYS[:-1]:
        bench.press(key)
    assert bench.state == dark
    bench.apply(KeyPress("power"))
    assert bench.screen == "booting"
    bench.deliver()
    fresh = Bench("ut-77l")
    assert (bench.screen, replace(bench.state, last_worker="")) == ("program", fresh.state)


def test_an_unregistered_terminal_takes_no_payment():
    """It shows why, offers the menu with its version, and nothing else."""
    bench = Bench(on=False)
    bench.registered = Registered(ok=False, note="등록되지 않았습니다.")
    bench.press("power")
    assert bench.screen == "unregistered"
    assert "등록되지 않았습니다." in bench.lcd.text
    bench.do(*(Act(action) for action in ("choose:070101", "ok", "previous", "cancel")), CardRead("1"))
    assert bench.screen == "unregistered"
    bench.touch("메뉴", "단말 정보")
    assert "1004" in bench.lcd.text
    bench.press("cancel", "cancel")
    assert bench.screen == "unregistered"


def test_the_menu_by_keys():
    """메뉴, 확인, and back by 취소 or ⌫, as with a finger."""
    for back in ("cancel", "back", "f1"):
        bench = Bench()
        bench.press("menu", "ok")
        assert bench.screen == "info"
        touched = Bench().touch("메뉴", "단말 정보", "이전", "이전")
        if back != "f1":
            bench.press(back, back)
            assert bench.lcd == touched


def test_busy_is_from_the_card_to_the_end():
    """A restart is inconvenient from the moment that a card was read until the payment is settled."""
    assert not core.is_busy(at_page("card").state)
    for name in WAY[3:]:
        assert core.is_busy(at_page(name).state)
    done = Bench()
    done.pay_retro()
    done.touch("확인")
    assert not core.is_busy(done.state)


def test_a_change_of_release_keeps_the_place():
    """The position is derived from the answers: the same answers under the other release stand at its page."""
    bench = at_page("amount", "ut-77l")
    old = Bench("ut-77l", OLD["ut-77l"]).release
    moved = replace(bench.state, release=old, answers={**bench.state.answers, "kind": "normal"})
    assert view(moved).screen == "amount"
