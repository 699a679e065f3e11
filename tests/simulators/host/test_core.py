"""What the host decides, as stories on both stores."""

import datetime as dt

import pytest

from simulators.host.core import KeyReused, lookup, open_books, pay, reverse
from simulators.host.ledger import voucher_account
from simulators.host.people import PEOPLE, cards
from simulators.host.store import DictStore, verify_chain
from simulators.register import TerminalCard
from terminal.codes import CODES
from terminal.rules import CARD_NOT_CARRIED
from tests.simulators.host.bench import START, card_of, lookup_request, new_id, payment_request, reversal_request

ACCOUNT = voucher_account("rec-1", "070101")
BROKEN = "단말기 분실, 고장 등"


def after(**span):
    return START + dt.timedelta(**span)


def balance(store, account=ACCOUNT):
    with store.transaction() as books:
        return books.balance(account)


def opened(store, terminal, now=START, **changed):
    answer = lookup(store, terminal, lookup_request(terminal_time=now, **changed), now)
    assert answer.outcome == "approved", answer
    return answer.voucher.session_id


def everything(store):
    with store.transaction() as books:
        return books.entries(), books.balances()


@pytest.fixture
def session_id(store, card):
    return opened(store, card)


def test_a_lookup_shows_the_voucher(store, card):
    """The voucher page's four facts come from the card, the terminal's institution and the ledger."""
    answer = lookup(store, card, lookup_request(), START)
    assert (answer.outcome, answer.code, answer.message) == ("approved", "", "")
    voucher = answer.voucher
    assert (voucher.institution, voucher.recipient, voucher.program, voucher.balance_won) == (
        "성남주간보호센터-발달",
        "김명연5",
        "070101",
        897_894,
    )


@pytest.mark.parametrize(
    ("program", "worker", "paid_won", "left_won"),
    [("070101", "1001", 15_000, 882_894), ("008003", "1002", 1_000, 159_000), ("070201", "1001", 20_000, 200_000)],
)
def test_a_payment_that_may_succeed_succeeds(store, card, *, program, worker, paid_won, left_won):
    """Liveness, with the guide's vectors: each amount service is approved, with the first approval number."""
    session = opened(store, card, program=program, card=cards()[f"recipient-{program}"], worker_payment_id=worker)
    receipt = pay(store, card, new_id(), payment_request(session, amount_won=paid_won), START).receipt
    assert receipt.approval_no == "500000000001"
    assert (receipt.amount_won, receipt.balance_won) == (paid_won, left_won)
    assert receipt.service_date == START.date()
    verify_chain(store)


def test_a_retroactive_payment_carries_the_date_that_was_entered(store, card, session_id):
    """R4, R5: a broken terminal of last month is paid now, and the receipt names the service date."""
    date = dt.date(2025, 12, 1)
    request = payment_request(session_id, kind="retro", service_date=date, reason=BROKEN)
    answer = pay(store, card, new_id(), request, START)
    assert answer.outcome == "approved"
    assert answer.receipt.service_date == date


DECLINED_LOOKUPS = {
    "0101": {"terminal_time": after(seconds=300)},
    "0273": {"worker_payment_id": "2001"},
    "2206": {"card": cards()["recipient-other-program"]},
    "2207": {"card": cards()["recipient-no-contract"]},
    "SIM-CARD": {"card": cards()["recipient-lost"]},
    "SIM-APPROVAL": {"means": "qr"},
}


@pytest.mark.parametrize("code", DECLINED_LOOKUPS)
def test_a_declined_lookup_says_why_and_changes_nothing(store, card, code):
    """Each refusal of a lookup has its code and sentence, opens no session and moves nothing."""
    before = everything(store)
    answer = lookup(store, card, lookup_request(**DECLINED_LOOKUPS[code]), START)
    assert (answer.outcome, answer.code, answer.voucher) == ("declined", code, None)
    assert answer.message == CODES[code].korean
    assert everything(store) == before
    assert opened(store, card) == "S00000001"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"program": "999999"}, "2206"),
        ({"worker_payment_id": "9999"}, "0273"),
        ({"card": "0000"}, "SIM-CARD"),
        ({"means": "biometric"}, "SIM-APPROVAL"),
    ],
)
def test_strangers_are_declined(store, card, changed, code):
    """Unknown programs, workers and cards are declined like those of others; a biometric needs an approval."""
    assert lookup(store, card, lookup_request(**changed), START).code == code


@pytest.mark.parametrize("model", ["ut-77l", "ut-55l"])
def test_qr_is_refused_where_there_is_no_camera(store, key, model):
    """Statement 14: QR is refused on UT-77L and UT-55L, whatever the terminal offers."""
    answer = lookup(store, card_of(key, model=model), lookup_request(means="qr"), START)
    assert answer.code == "SIM-MEANS"
    assert lookup(store, card_of(key, model=model), lookup_request(), START).outcome == "approved"


@pytest.mark.parametrize(
    "changed",
    [{"registered": False}, {"model": "ut-11l"}, {"institution": "inst-9"}],
    ids=["suspended", "model", "owner"],
)
def test_a_terminal_that_may_not_be_used_gets_0304(store, key, card, session_id, changed):
    """A suspended terminal, one of another make or without an institution neither looks up nor pays."""
    fields = {"registered": True, **changed}
    barred = card_of(key, **fields)
    assert lookup(store, barred, lookup_request(), START).code == "0304"
    assert pay(store, barred, new_id(), payment_request(session_id), START).code == "0304"
    assert balance(store) == 897_894


def test_the_skew_boundary(store, card, session_id):
    """Statement 15: 299 s still approve, 300 s never do, either way."""
    for seconds, outcome in ((299, "approved"), (-299, "approved"), (300, "declined"), (-300, "declined")):
        request = payment_request(session_id, terminal_time=after(seconds=seconds))
        answer = pay(store, card, new_id(), request, START)
        assert (answer.outcome, answer.code) == (outcome, "" if outcome == "approved" else "0101")


def test_the_session_boundary(store, card, session_id):
    """R1: at 4:59 the payment is approved, at 5:00 it is declined."""
    early, late = after(seconds=299), after(seconds=300)
    assert pay(store, card, new_id(), payment_request(session_id, terminal_time=early), early).outcome == "approved"
    answer = pay(store, card, new_id(), payment_request(session_id, terminal_time=late), late)
    assert (answer.outcome, answer.code) == ("declined", "SIM-SESSION")


def test_a_session_is_its_terminals_alone(store, key, session_id):
    """Another terminal, or the same one after it changed hands, cannot pay from it; nor is a made-up one any good."""
    others = (card_of(key, "T0000002"), card_of(key, institution="inst-2"))
    for other in others:
        assert pay(store, other, new_id(), payment_request(session_id), START).code == "SIM-SESSION"
    assert pay(store, others[0], new_id(), payment_request("S99999999"), START).code == "SIM-SESSION"
    assert balance(store) == 897_894


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount_won": 0}, "SIM-AMOUNT"),
        ({"amount_won": 15_001}, "SIM-AMOUNT"),
        ({"amount_won": 897_900}, "SIM-BALANCE"),
        ({"service_date": START.date()}, "SIM-DATE"),
        ({"reason": BROKEN}, "SIM-REASON"),
        ({"kind": "retro", "reason": BROKEN}, "SIM-DATE"),
        ({"kind": "retro", "service_date": START.date()}, "SIM-REASON"),
        ({"kind": "retro", "service_date": START.date(), "reason": "기타"}, "SIM-REASON"),
        ({"kind": "retro", "service_date": dt.date(2026, 1, 6), "reason": BROKEN}, "SIM-DATE"),
        ({"kind": "retro", "service_date": dt.date(2025, 11, 30), "reason": BROKEN}, "SIM-RETRO"),
        ({"kind": "retro", "service_date": dt.date(2026, 1, 4), "reason": CARD_NOT_CARRIED}, "SIM-RETRO"),
    ],
)
def test_a_declined_payment_is_remembered_and_moves_nothing(store, card, session_id, changed, code):
    """A decline has its code, debits nothing, uses no approval number, and is the answer to every retry."""
    before, transaction_id = everything(store), new_id()
    request = payment_request(session_id, **changed)
    first = pay(store, card, transaction_id, request, START)
    assert (first.outcome, first.code, first.message) == ("declined", code, CODES[code].korean)
    assert pay(store, card, transaction_id, request, after(days=1)) == first
    assert everything(store) == before
    assert pay(store, card, new_id(), payment_request(session_id), START).receipt.approval_no == "500000000001"


def test_the_same_id_debits_once_and_answers_the_same(store, card, session_id):
    """Statement 1: any retry, also long after the session and with a wrong clock, gets the first answer."""
    transaction_id = new_id()
    first = pay(store, card, transaction_id, payment_request(session_id), START)
    for attempt, now in ((2, after(seconds=1)), (3, after(days=40)), (1, START)):
        retry = payment_request(session_id, attempt=attempt, terminal_time=after(days=attempt))
        assert pay(store, card, transaction_id, retry, now) == first
    assert balance(store) == 882_894


def test_a_retry_is_answered_though_the_terminal_was_suspended_meanwhile(store, key, card, session_id):
    """Statement 3: an approval that was given is told to its terminal, whatever became of it."""
    transaction_id = new_id()
    first = pay(store, card, transaction_id, payment_request(session_id), START)
    assert pay(store, card_of(key, registered=False), transaction_id, payment_request(session_id), START) == first


@pytest.mark.parametrize(
    "changed",
    [
        {"amount_won": 15_010},
        {"kind": "retro", "service_date": START.date(), "reason": BROKEN},
        {"session_id": "S00000002"},
    ],
)
def test_the_same_id_with_another_body_is_refused(store, card, session_id, changed):
    """Statement 2: business fields that differ are refused, and nothing changes."""
    transaction_id = new_id()
    first = pay(store, card, transaction_id, payment_request(session_id), START)
    before = everything(store)
    with pytest.raises(KeyReused):
        pay(store, card, transaction_id, payment_request(**{"session_id": session_id, **changed}), START)
    assert everything(store) == before
    assert pay(store, card, transaction_id, payment_request(session_id), START) == first


def test_another_terminals_id_is_refused(store, key, card, session_id):
    """Nobody is told of, or reverses, another terminal's payment, nor takes a tombstone's id."""
    transaction_id, buried = new_id(), new_id()
    pay(store, card, transaction_id, payment_request(session_id), START)
    reverse(store, card, buried, reversal_request(), START)
    other, before = card_of(key, "T0000002"), everything(store)
    for one in (transaction_id, buried):
        with pytest.raises(KeyReused):
            pay(store, other, one, payment_request(session_id), START)
        with pytest.raises(KeyReused):
            reverse(store, other, one, reversal_request(), START)
    assert everything(store) == before


def test_a_reversal_before_its_original_blocks_it(store, card, session_id):
    """Statement 4: the late original is answered `reversed`, again and again, and never debits."""
    transaction_id = new_id()
    answer = reverse(store, card, transaction_id, reversal_request(), START)
    assert (answer.outcome, answer.balance_won) == ("reversed", None)
    for attempt in (1, 2):
        late = pay(store, card, transaction_id, payment_request(session_id, attempt=attempt), START)
        assert (late.outcome, late.code, late.receipt) == ("reversed", "SIM-REVERSED", None)
    assert balance(store) == 897_894


def test_a_reversal_voids_an_approval_once(store, card, session_id):
    """The balance is restored by one counter entry; repeats answer the same, and so does a late duplicate."""
    transaction_id = new_id()
    pay(store, card, transaction_id, payment_request(session_id), START)
    first = reverse(store, card, transaction_id, reversal_request(), START)
    assert first.balance_won == 897_894
    pay(store, card, new_id(), payment_request(session_id, amount_won=10), START)
    assert reverse(store, card, transaction_id, reversal_request(attempt=2), after(days=1)) == first
    assert pay(store, card, transaction_id, payment_request(session_id, attempt=2), START).outcome == "reversed"
    assert balance(store) == 897_884
    with store.transaction() as books:
        assert [entry.what for entry in books.entries() if entry.transaction_id == transaction_id] == [
            "payment",
            "reversal",
        ]
    verify_chain(store)


def test_a_reversal_of_a_decline_moves_nothing(store, card, session_id):
    """What was declined is reversed without a counter entry, and stays reversed."""
    transaction_id, before = new_id(), everything(store)
    request = payment_request(session_id, amount_won=0)
    pay(store, card, transaction_id, request, START)
    assert reverse(store, card, transaction_id, reversal_request(), START).balance_won is None
    assert pay(store, card, transaction_id, request, START).outcome == "reversed"
    assert everything(store) == before


def test_a_reversal_is_never_refused_for_clock_or_suspension(store, key, card, session_id):
    """Statement 3: a terminal with a wrong clock that was suspended meanwhile still gets out of doubt."""
    transaction_id = new_id()
    pay(store, card, transaction_id, payment_request(session_id), START)
    request = reversal_request(terminal_time=after(days=-9))
    assert reverse(store, card_of(key, registered=False), transaction_id, request, START).balance_won == 897_894


def test_a_payment_uses_the_hosts_day_in_korea(store, card):
    """A normal payment at 00:30 KST is of that day, though it is still yesterday in UTC."""
    now = dt.datetime(2026, 1, 5, 15, 30, tzinfo=dt.UTC)
    session = opened(store, card, now)
    answer = pay(store, card, new_id(), payment_request(session, terminal_time=now), now)
    assert answer.receipt.service_date == dt.date(2026, 1, 6)


def test_the_people_fit_together():
    """Every card has a holder, every voucher a program and institutions, every id and number is one person's."""
    names = {one.id for one in PEOPLE.recipients}
    assert {card.recipient for card in PEOPLE.cards} <= names
    for voucher in PEOPLE.vouchers:
        assert voucher.recipient in names
        assert voucher.program in PEOPLE.programs
        assert all(PEOPLE.institution(one) for one in voucher.institutions)
    assert all(PEOPLE.institution(worker.institution) for worker in PEOPLE.workers)
    assert len(cards()) == len(set(cards().values())) == len(PEOPLE.cards)
    assert all(number.startswith("9999") for number in cards().values())


def test_the_same_requests_end_in_the_same_books(key):
    """Statement 16: two runs of the same requests give the same entries, byte for byte."""

    def run():
        store, card = DictStore(), card_of(key)
        open_books(store, START)
        for number in range(5):
            pay(store, card, f"{number:032x}", payment_request(opened(store, card)), START)
        return everything(store)

    assert run() == run()


def test_the_card_of_a_terminal_needs_no_more_than_its_paperwork():
    """The core takes the register's card as it is: no key is read to decide."""
    store = DictStore()
    open_books(store, START)
    assert opened(store, TerminalCard("T1", "1", "ut-99l", "inst-1", "", ""))
