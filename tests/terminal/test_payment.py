"""R19: what becomes of a payment that is not answered, whose power is cut, whose journal cannot be written."""

import pytest

from devices.durable import DiskError
from terminal import payment
from terminal.contract import PaymentAnswer
from terminal.journal import FileJournal, MemoryJournal
from terminal.state import Act, Paid, Pay, Phase, Reverse, Save
from tests.terminal.bench import OK, REPLY_LOST, REQUEST_LOST, Bench, FullDisk, PowerCut, at_page

RETRIES_AT_S = [0, 1, 2, 4, 8, 16]


class Network:
    """Fates in order, then the last one for good; it remembers when each payment or reversal was sent."""

    def __init__(self, bench, *fates):
        self.bench, self.fates, self.at_s = bench, list(fates), {"pay": [], "reverse": []}
        bench.host.fate = self

    def __call__(self, what):
        if what in self.at_s:
            self.at_s[what].append(self.bench.transport_s)
            return self.fates.pop(0) if len(self.fates) > 1 else self.fates[0]
        return OK


def ready(model="ut-99l", **how):
    """A retroactive payment of 15,000원 of which only the last 확인 is missing."""
    bench = Bench(model, **how)
    bench.to_reason()
    bench.touch("단말기 분실")
    return bench


def transaction_of(bench):
    (transaction_id,) = {effect.transaction.id for effect in bench.sent(Pay)}
    return transaction_id


def settled(bench, outcome):
    """Both sides say the same, and nothing is open."""
    transaction_id = transaction_of(bench)
    assert bench.host.outcome(transaction_id) == outcome
    assert (bench.state.pending, bench.journal.load()) == (None, None)
    assert bench.host.balance_won() == (882_894 if outcome == "approved" else 897_894)
    assert bench.debits()[transaction_id] <= 1


@pytest.mark.parametrize("fate", [REQUEST_LOST, REPLY_LOST])
def test_retries_then_a_reversal(fate):
    """Without an answer: sent at 0, 1, 2, 4, 8, 16 s with one id, then reversed until acknowledged; all in words."""
    bench = ready()
    network = Network(bench, fate)
    bench.touch("확인")
    bench.advance(60)
    assert network.at_s["pay"] == RETRIES_AT_S
    assert network.at_s["reverse"] == [16, 17, 19, 23, 31, 47]
    assert [effect.transaction.attempt for effect in bench.sent(Pay)] == [1, 2, 3, 4, 5, 6]
    assert bench.screen == "reversing"
    assert bench.journal.load().phase is Phase.REVERSING
    bench.advance(17 + 30 + 30)
    assert network.at_s["reverse"][6:] == [77, 107, 137]
    network.fates = [OK]
    bench.advance(30)
    assert (bench.screen, bench.state.notice.code) == ("notice", "0104")
    assert "망취소" in bench.lcd.text
    settled(bench, "reversed")
    assert len({effect.transaction.id for effect in bench.sent(Reverse)} | {transaction_of(bench)}) == 1


@pytest.mark.parametrize("answered", range(1, 7))
@pytest.mark.parametrize("fate", [REQUEST_LOST, REPLY_LOST])
def test_any_answer_ends_it(answered, fate):
    """The first answer, to whichever attempt, settles the payment: done page, journal empty, nothing sent after it."""
    bench = ready()
    network = Network(bench, *[fate] * (answered - 1), OK)
    bench.touch("확인")
    bench.advance(600)
    assert network.at_s["pay"] == RETRIES_AT_S[:answered]
    assert network.at_s["reverse"] == []
    assert (bench.screen, bench.lcd.fields["balance"]) == ("done", "882,894원")
    settled(bench, "approved")


def test_a_retry_says_so():
    """While it is tried again the page says so, and counts."""
    bench = ready()
    Network(bench, REQUEST_LOST)
    bench.touch("확인")
    assert "다시 시도하고 있습니다. (1회)" in bench.lcd.text
    bench.advance(2)
    assert "다시 시도하고 있습니다. (3회)" in bench.lcd.text


def test_late_attempts_do_not_pile_up():
    """An attempt that itself took 5 s is followed at once by those that are due, each once, then by the reversal."""
    bench = ready()

    def slow(what):
        if what == "pay":
            bench.transport_s += 5
        return REQUEST_LOST if what == "pay" else OK

    bench.host.fate = slow
    bench.touch("확인")
    bench.advance(100)
    assert bench.host.asked.count(f"pay {transaction_of(bench)}") == 6
    settled(bench, "reversed")


@pytest.mark.parametrize(("code", "then"), [("SIM-BALANCE", "voucher"), ("SIM-SESSION", "program"), ("", "voucher")])
def test_a_decline_is_an_answer(code, then):
    """A declined payment is settled at once: its notice, then the voucher page, or the first if the session is over."""
    bench = ready()
    bench.apply(Act("ok"))
    bench.waiting.clear()
    bench.do(Paid(transaction_of(bench), PaymentAnswer(outcome="declined", code=code)))
    assert (bench.screen, bench.journal.load(), bench.state.pending) == ("notice", None, None)
    bench.touch("확인")
    assert bench.screen == then


def test_answers_to_other_payments_change_nothing():
    """A late or foreign answer settles nothing but its own transaction."""
    bench = ready()
    bench.apply(Act("ok"))
    before = bench.state
    bench.apply(Paid("f" * 32, PaymentAnswer(outcome="declined", code="SIM-BALANCE")))
    assert bench.state == before
    bench.deliver()
    done = bench.state
    bench.apply(Paid(transaction_of(bench), None))
    assert bench.state == done


def test_the_journal_is_written_before_the_host_hears():
    """Each payment and each reversal is durable before it is sent."""
    bench = ready()
    Network(bench, REQUEST_LOST)
    bench.touch("확인")
    bench.advance(20)
    kinds = [type(effect) for effect in bench.effects if isinstance(effect, Save | Pay | Reverse)]
    assert kinds[:2] == [Save, Pay]
    assert kinds[kinds.index(Reverse) - 1] is Save


def test_a_full_disk_sends_nothing():
    """Where the journal cannot be written nothing is sent; a notice says why, and it can be tried again."""
    bench = ready(journal=FullDisk())
    bench.touch("확인")
    assert (bench.screen, bench.host.asked.count(f"pay {transaction_of(bench)}")) == ("notice", 0)
    assert "저장" in bench.lcd.text
    assert (bench.state.pending, bench.host.balance_won()) == (None, 897_894)
    bench.touch("확인")
    assert bench.screen == "voucher"
    bench.journal = MemoryJournal()
    bench.touch("서비스결제", "정상결제", "확인")
    bench.press(*"10", "ok")
    assert bench.screen == "done"


def test_a_reversal_goes_on_with_a_full_disk():
    """The disk that fills up after the payment was sent stops no reversal: the older note says enough."""
    bench = ready()
    Network(bench, REPLY_LOST, REPLY_LOST, REPLY_LOST, REPLY_LOST, REPLY_LOST, REPLY_LOST, OK)
    bench.touch("확인")
    save = bench.journal.save

    def refuse(transaction):
        if transaction is not None:
            raise DiskError("The disk is full.")
        save(transaction)

    bench.journal.save = refuse
    bench.advance(60)
    settled(bench, "reversed")


# -- power


def moments():
    """How many effects and answers lie between the last 확인 and the done page."""
    bench = ready()
    bench.cut_after = 1_000
    bench.touch("확인")
    assert bench.screen == "done"
    return 1_000 - bench.cut_after


@pytest.mark.parametrize("fates", [(OK,), (REPLY_LOST, OK), (REQUEST_LOST, OK), (REPLY_LOST,) * 6 + (OK,)])
@pytest.mark.parametrize("journal", ["file", "memory"])
def test_power_cut_at_every_moment(tmp_path, fates, journal):
    """Cut between any two effects or answers, then switched on again: settled, both sides agree, one debit at most."""
    seen = set()
    for cut in range(40):
        made = FileJournal(tmp_path / f"{cut}.json") if journal == "file" else MemoryJournal()
        bench = ready(journal=made)
        Network(bench, *fates)
        bench.cut_after = cut
        try:
            bench.touch("확인")
            bench.advance(120)
        except PowerCut:
            bench.boot()
            bench.press("power")
            bench.advance(120)
        assert (bench.state.pending, bench.journal.load()) == (None, None)
        saved = {effect.transaction.id for effect in bench.sent(Save) if effect.transaction}
        last_word = "reversed" if bench.sent(Reverse) else "approved" if saved else "never begun"
        assert {bench.host.outcome(one) for one in saved} == ({last_word} if saved else set()), f"cut {cut}"
        assert bench.host.balance_won() == (882_894 if last_word == "approved" else 897_894)
        assert all(count == 1 for count in bench.debits().values())
        seen.add(last_word)
    assert seen == {"never begun", "reversed", "approved"} - ({"approved"} if len(fates) == 7 else set())


def test_there_are_moments_to_cut_at():
    """The test above really cuts: there are several moments before the done page, and fewer than it tries."""
    assert 5 <= moments() < 40


@pytest.mark.parametrize("answer_comes", ["while off", "while booting", "after"])
def test_switched_off_while_paying(answer_comes):
    """An answer that comes across the power switch is not shown as another payment's: it is reversed, and paid anew."""
    bench = ready()
    bench.apply(Act("ok"))
    (held,), bench.waiting = bench.waiting, []
    bench.apply(Act("power"))
    if answer_comes == "while off":
        bench.apply(held())
    bench.apply(Act("power"))
    if answer_comes == "while booting":
        bench.apply(held())
    bench.deliver()
    if answer_comes == "after":
        bench.do(held())
    assert bench.screen == "notice"
    settled(bench, "reversed")
    bench.touch("확인")
    bench.pay_retro()
    assert (bench.screen, bench.lcd.fields["approval_no"]) == ("done", "500000000002")
    assert bench.host.balance_won() == 882_894


def test_an_unsettled_payment_outlives_many_boots():
    """Off and on as often as one likes with the host away: the reversal goes on at each boot until acknowledged."""
    bench = ready()
    network = Network(bench, REPLY_LOST)
    bench.touch("확인")
    for _ in range(4):
        bench.boot()
        bench.press("power")
        assert bench.screen == "reversing"
        bench.advance(7)
    network.fates = [OK]
    bench.boot()
    bench.press("power")
    settled(bench, "reversed")


def test_nothing_can_be_paid_before_the_reversal():
    """While a payment is being reversed nothing else can be begun; afterwards everything can."""
    bench = ready()
    network = Network(bench, REPLY_LOST)
    bench.touch("확인")
    bench.advance(17)
    before = bench.state
    bench.press(*"0123456789", "ok", "cancel", "back", "next", "menu", "f1", "f2")
    assert bench.state == before
    assert bench.lcd.targets == ()
    network.fates = [OK]
    bench.advance(60)
    bench.touch("확인")
    bench.pay_retro()
    assert bench.screen == "done"


def test_the_schedule_is_the_rules():
    """R19 as data: after 1, 2, 4, 8 and 16 s; the last pause of the reversal goes on for ever."""
    assert [0, *payment.RETRY_AT_S] == RETRIES_AT_S
    assert payment.REVERSAL_PAUSES_S[-1] == 30


def test_a_payment_survives_a_change_of_release():
    """Updated with an unanswered payment in the journal: the new release reverses what the old one sent."""
    old = at_page("amount", "ut-77l", 1013)
    Network(old, REPLY_LOST)
    old.press(*"15000", "ok")
    new = Bench("ut-77l", 1014, journal=old.journal, on=False)
    new.host = old.host
    new.host.fate = lambda _what: OK
    new.press("power")
    assert new.host.outcome(transaction_of(old)) == "reversed"
    assert (new.journal.load(), new.host.balance_won()) == (None, 897_894)
