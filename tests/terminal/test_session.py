"""The shell around the core: what must be durable is durable before it is sent, and its ports may fail as they like."""

import threading

import pytest

from devices.clock import FixedClock, monotonic_s
from simulators.host.people import cards
from simulators.host.store import DictStore
from terminal.journal import FileJournal, MemoryJournal
from terminal.session import CannotTouch, Ports, TerminalSession
from terminal.state import CardRead, KeyPress, State
from tests.terminal.attached import Yes
from tests.terminal.bench import RELEASES, START, CoreHost, FullDisk

DEADLINE_S = 10.0


class Raises:
    """A port with a bug of its own."""

    def check(self):
        raise RuntimeError("9999070101000017")

    def lookup(self, _wanted, _now):
        raise RuntimeError("9999070101000017")


@pytest.fixture
def start():
    sessions = []

    def begin(host, journal=None, registrar=None):
        state = State("ut-99l", "9910000001", "S0001", RELEASES["ut-99l", 1003])
        ports = Ports(host, registrar or Yes(), journal or MemoryJournal(), FixedClock(START))
        sessions.append(TerminalSession(state, ports))
        sessions[-1].start()
        return sessions[-1]

    yield begin
    for session in sessions:
        session.stop()


def see(session, screen):
    lcd = session.wait(lambda lcd: lcd.screen == screen, DEADLINE_S)
    assert lcd, f"{screen} never came:\n{session.lcd.text}"
    return lcd


def pay(session, amount="15000"):
    see(session, "program")
    session.touch("발달재활")
    session.touch("카드결제")
    session.apply(CardRead(cards()["recipient-070101"]))
    for key in (*"1001", "ok"):
        session.apply(KeyPress(key))
    see(session, "voucher")
    session.touch("서비스결제")
    for key in (*amount, "ok"):
        session.apply(KeyPress(key))


def test_a_full_disk_sends_nothing(start):
    """A journal that cannot be written keeps its payment from the host, whatever was queued behind it."""
    host = CoreHost(DictStore())
    session = start(host, FullDisk())
    pay(session)
    assert "저장" in see(session, "notice").text
    assert [asked for asked in host.asked if asked.startswith("pay")] == []
    assert host.balance_won() == 897_894
    assert "journal-failed" in [event["kind"] for event in session.log_since(0)]


def test_what_is_sent_was_saved(start, tmp_path):
    """At the moment the host is asked, the payment stands in the journal's file."""
    host, path = CoreHost(DictStore()), tmp_path / "journal.json"
    held = []
    ask = host.pay
    host.pay = lambda transaction, now: (held.append(FileJournal(path).load()), ask(transaction, now))[1]
    session = start(host, FileJournal(path))
    pay(session)
    see(session, "done")
    assert [transaction.amount_won for transaction in held] == [15_000]


def test_a_port_that_fails_is_no_answer(start):
    """A bug in the host's client is an unknown outcome, not silence; its text, which may hold a card, is not logged."""
    session = start(Raises())
    see(session, "program")
    session.touch("발달재활")
    session.touch("카드결제")
    session.apply(CardRead(cards()["recipient-070101"]))
    for key in (*"1001", "ok"):
        session.apply(KeyPress(key))
    assert "0104" in see(session, "notice").text
    assert "9999070101000017" not in str(session.log_since(0))


def test_a_registrar_that_fails_registers_nobody(start):
    """Where the registration check fails, the terminal is not registered and says so."""
    session = start(CoreHost(DictStore()), registrar=Raises())
    assert "등록" in see(session, "unregistered").text


def test_a_press_never_waits_for_the_host(start):
    """While the host thinks, a press is answered with the page that it led to; other events go on."""
    go_on = threading.Event()
    host = CoreHost(DictStore())
    ask = host.pay
    host.pay = lambda transaction, now: (go_on.wait(DEADLINE_S), ask(transaction, now))[1]
    session = start(host)
    pay(session)
    assert session.lcd.screen == "paying"
    assert session.apply(KeyPress("1")).screen == "paying"
    go_on.set()
    see(session, "done")


def test_a_touch_of_nothing_says_so(start):
    """A label that is not on the page raises, and the session goes on."""
    session = start(CoreHost(DictStore()))
    see(session, "program")
    with pytest.raises(CannotTouch, match="none"):
        session.touch("확인")
    assert session.touch("발달재활").screen == "means"


def test_a_stopped_session_leaves_its_payment_to_the_next(start, tmp_path):
    """Stopped while the host thinks, as by a power cut: the next session reverses from the journal's file."""
    host, path, asked, go_on = CoreHost(DictStore()), tmp_path / "journal.json", threading.Event(), threading.Event()
    ask = host.pay

    def slow(transaction, now):
        asked.set()
        go_on.wait(DEADLINE_S)
        return ask(transaction, now)

    host.pay = slow
    session = start(host, FileJournal(path))
    pay(session)
    assert asked.wait(DEADLINE_S)
    transaction = FileJournal(path).load()
    session.stop()
    again = start(host, FileJournal(path))
    assert "망취소" in see(again, "notice").text
    go_on.set()
    host.pay = ask
    assert host.outcome(transaction.id) == "reversed"
    assert host.balance_won() == 897_894
    until = monotonic_s() + DEADLINE_S
    while FileJournal(path).load() is not None:  # the note is cleared behind the page
        assert monotonic_s() < until
