"""Payments from a terminal's pages to the host's ledger over real HTTP, with the host dying in between."""

import contextlib
import datetime as dt
import subprocess
import sys
from dataclasses import replace

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.clock import FixedClock
from simulators.host.people import cards
from simulators.keys import public_pem
from simulators.register import Register, TerminalCard
from terminal import payment
from terminal.contract import PAYMENT_PATH, PaymentRequest
from terminal.host_client import HttpHost
from terminal.journal import FileJournal
from terminal.session import Ports, TerminalSession
from terminal.signing import sign
from terminal.state import CardRead, KeyPress, Lookup, State, Transaction
from tests.ota.scripted import Scripted
from tests.terminal.attached import Yes, eventually
from tests.terminal.bench import RELEASES, START

DEADLINE_S = 30.0
TERMINAL_NO = "9910000001"
PROGRAM = """
import datetime, sys
from pathlib import Path
from devices.clock import FixedClock
from simulators.host.server import HostServer
store, terminals, at, port = sys.argv[1:]
host = HostServer(Path(store), Path(terminals), FixedClock(datetime.datetime.fromisoformat(at)), port=int(port))
print(host.url, flush=True)
sys.stdin.read()
host.close()
"""


class HostProcess:
    """The host in a process of its own that can be killed and started again, on the same file and port."""

    def __init__(self, folder):
        self.folder, self.port, self.url, self.child = folder, 0, "", None
        self.start()

    def start(self):
        argv = [str(self.folder / "host.sqlite"), str(self.folder / "terminals"), START.isoformat(), str(self.port)]
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self.child.stdout.readline().strip()
        assert self.url, "the host did not start"
        self.port = int(self.url.rsplit(":", 1)[1])

    def died(self):
        assert self.child.wait(DEADLINE_S) == -9
        self.child.communicate()

    def close(self):
        with contextlib.suppress(ValueError):
            self.child.communicate(timeout=DEADLINE_S)

    def sim(self, method, path, **how):
        reply = requests.request(method, f"{self.url}/sim/{path}", timeout=10, **how)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def fault(self, leg, what, count=1, seconds=0.0):
        self.sim("POST", "faults", json={"leg": leg, "what": what, "count": count, "seconds": seconds})

    def balance_won(self):
        return next(one["balance_won"] for one in self.sim("GET", "vouchers") if one["recipient"] == "rec-1")

    def entries(self):
        return [entry for entry in self.sim("GET", "ledger") if entry["what"] != "grant"]


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def host(tmp_path, key):
    pem = public_pem(key.public_key()).decode()
    Register(tmp_path / "terminals").add(TerminalCard(TERMINAL_NO, "S0001", "ut-99l", "inst-1", pem, "token"))
    process = HostProcess(tmp_path)
    yield process
    process.close()


class Pages:
    """A terminal under its real session thread, worked by touch."""

    def __init__(self, host, key, folder):
        state = State(model="ut-99l", terminal_no=TERMINAL_NO, serial="S0001", release=RELEASES["ut-99l", 1004])
        self.journal = FileJournal(folder / "journal.json")
        ports = Ports(HttpHost(host.url, TERMINAL_NO, key), Yes(), self.journal, FixedClock(START))
        self.session = TerminalSession(state, ports)
        self.session.start()

    def see(self, screen):
        lcd = self.session.wait(lambda lcd: lcd.screen == screen, DEADLINE_S)
        assert lcd, f"{screen} never came, but {self.session.lcd.screen}:\n{self.session.lcd.text}"
        return lcd

    def press(self, *keys):
        for one in keys:
            self.session.apply(KeyPress(one))

    def to_voucher(self):
        self.see("program")
        self.session.touch("발달재활")
        self.session.touch("카드결제")
        self.session.apply(CardRead(cards()["recipient-070101"]))
        self.press(*"1001", "ok")

    def to_reason(self):
        self.to_voucher()
        self.see("voucher")
        for label in ("서비스결제", "소급결제", "확인", "다음"):
            self.session.touch(label)
        self.press(*"0105", "ok", *"15000", "ok")
        self.session.touch("단말기 분실")

    def pay(self):
        self.session.touch("확인")


@pytest.fixture
def pages(host, key, tmp_path):
    made = Pages(host, key, tmp_path)
    yield made
    made.session.stop()


@pytest.fixture
def often(monkeypatch):
    """Retries every tenth of a second, for as long as a host takes to start; reversals as often."""
    monkeypatch.setattr(payment, "RETRY_AT_S", tuple(n / 10 for n in range(1, 200)))
    monkeypatch.setattr(payment, "REVERSAL_PAUSES_S", (0.1,))


@pytest.fixture
def seldom(monkeypatch):
    """Two quick retries, then reversals until there is a host."""
    monkeypatch.setattr(payment, "RETRY_AT_S", (0.05, 0.1))
    monkeypatch.setattr(payment, "REVERSAL_PAUSES_S", (0.1,))


def test_a_payment_over_http(host, pages):
    """From the first page to the ledger: one signed debit, the receipt on the done page, the journal empty again."""
    pages.to_reason()
    pages.pay()
    done = pages.see("done")
    assert (done.fields["approval_no"], done.fields["balance"]) == ("500000000001", "882,894원")
    (entry,) = host.entries()
    assert (entry["what"], entry["amount_won"], host.balance_won()) == ("payment", 15_000, 882_894)
    pages.session.touch("확인")
    pages.see("program")
    eventually(lambda: pages.journal.load() is None)


posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")


@posix
@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("leg", "debited"), [("reply", 882_894), ("request", 897_894)])
def test_the_host_dies_and_comes_back_in_time(host, pages, leg, debited):
    """Killed between debit and reply (or just before), back within the retries: one debit, and the done page."""
    pages.to_reason()
    host.fault(leg, "kill")
    pages.pay()
    host.died()
    host.start()
    assert host.balance_won() in (debited, 882_894)
    assert pages.see("done").fields["balance"] == "882,894원"
    assert [entry["what"] for entry in host.entries()] == ["payment"]
    assert host.balance_won() == 882_894
    eventually(lambda: pages.journal.load() is None)


@posix
@pytest.mark.usefixtures("seldom")
@pytest.mark.parametrize(("leg", "entries"), [("reply", ["payment", "reversal"]), ("request", [])])
def test_the_host_dies_and_comes_back_too_late(host, pages, leg, entries):
    """Back only after the last retry: the terminal reverses, both sides say so, and the next payment goes through."""
    pages.to_reason()
    host.fault(leg, "kill")
    pages.pay()
    host.died()
    pages.see("reversing")
    transaction_id = pages.session.state.pending.id
    host.start()
    notice = pages.see("notice")
    assert "망취소" in notice.text
    assert "0104" in notice.text
    assert [entry["what"] for entry in host.entries()] == entries
    assert host.sim("GET", f"payments/{transaction_id}")["outcome"] == "reversed"
    assert host.balance_won() == 897_894
    pages.session.touch("확인")
    pages.to_reason()
    pages.pay()
    assert pages.see("done").fields["balance"] == "882,894원"


@posix
@pytest.mark.usefixtures("seldom")
def test_both_sides_die(host, pages, key, tmp_path):
    """Host killed after the debit and the terminal's power cut at once: whoever comes back later, it ends reversed."""
    pages.to_reason()
    host.fault("reply", "kill")
    pages.pay()
    host.died()
    pages.session.stop()
    assert FileJournal(tmp_path / "journal.json").load() is not None
    host.start()
    assert host.balance_won() == 882_894
    again = Pages(host, key, tmp_path)
    try:
        again.see("notice")
        assert [entry["what"] for entry in host.entries()] == ["payment", "reversal"]
        assert host.balance_won() == 897_894
        eventually(lambda: again.journal.load() is None)
    finally:
        again.session.stop()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("what", ["drop", "error"])
@pytest.mark.parametrize("leg", ["request", "reply"])
def test_a_bad_line_is_overcome(host, pages, leg, what):
    """Connections that close and answers that are errors, three in a row: still one debit and the done page."""
    pages.to_reason()
    host.fault(leg, what, count=3)
    pages.pay()
    pages.see("done")
    assert [entry["what"] for entry in host.entries()] == ["payment"]


def test_a_lookup_that_fails_shows_0104(host, pages):
    """No answer to a lookup: 0104, the worker's ID again, and the next one succeeds."""
    host.fault("reply", "error")
    pages.to_voucher()
    assert "0104" in pages.see("notice").text
    pages.session.touch("확인")
    pages.see("worker")
    pages.press(*"1001", "ok")
    assert pages.see("voucher").fields["balance"] == "897,894원"


# -- the terminal's client alone


def opened(client):
    voucher = client.lookup(Lookup("t", "070101", "card", cards()["recipient-070101"], "1001"), START).voucher
    return Transaction("ab" * 16, voucher.session_id, "retro", 15_000, dt.date(2026, 1, 5), "통신음영지역")


def test_the_same_payment_twice_debits_once(host, key):
    """Sent again, with another attempt number and nonce, it is answered from memory."""
    client = HttpHost(host.url, TERMINAL_NO, key)
    transaction = opened(client)
    answers = [client.pay(replace(transaction, attempt=n), START) for n in (1, 2, 3)]
    assert answers[0].outcome == "approved"
    assert answers[0] == answers[1] == answers[2]
    assert len(host.entries()) == 1


def test_another_amount_under_the_same_id_is_409(host, key):
    """The same id with another amount is HTTP 409, changes nothing, and is no answer to a payment under way."""
    client = HttpHost(host.url, TERMINAL_NO, key)
    transaction = opened(client)
    assert client.pay(transaction, START).outcome == "approved"
    other = replace(transaction, amount_won=10)
    body = PaymentRequest(
        session_id=other.session_id,
        terminal_time=START,
        attempt=1,
        kind="retro",
        amount_won=10,
        service_date=other.service_date,
        reason=other.reason,
    )
    data, url = body.model_dump_json().encode(), host.url + PAYMENT_PATH
    headers = sign("POST", url, data, key, TERMINAL_NO, idempotency_key=other.id)
    assert requests.post(url, data=data, headers=headers, timeout=10).status_code == 409
    first = client.pay(other, START)
    assert (first.outcome, first.code) == ("declined", "0304")
    assert client.pay(replace(other, attempt=2), START) is None
    assert len(host.entries()) == 1


def test_a_stranger_is_refused(host):
    """A terminal with another key is shown as one that may not be used; nobody's balance is told."""
    client = HttpHost(host.url, TERMINAL_NO, Ed25519PrivateKey.generate())
    answer = client.lookup(Lookup("t", "070101", "card", cards()["recipient-070101"], "1001"), START)
    assert (answer.outcome, answer.code, answer.voucher) == ("declined", "0304", None)


def test_nobody_there_is_no_answer(host, key):
    """Connection refused is no answer, not a refusal: lookup, payment and reversal alike."""
    client = HttpHost(host.url, TERMINAL_NO, key)
    transaction = opened(client)
    host.close()
    assert client.lookup(Lookup("t", "070101", "card", "1", "1001"), START) is None
    assert client.pay(transaction, START) is None
    assert client.reverse(transaction, START) is None


@pytest.mark.parametrize("receipt", [None, {"amount_won": 14_000}], ids=["none", "another amount"])
def test_an_approval_that_proves_nothing_is_no_answer(receipt):
    """Approved without a receipt, or with that of another amount, leaves the outcome unknown: the retry will tell."""
    whole = {
        "institution": "기관",
        "recipient": "이용자",
        "approval_no": "500000000001",
        "service_date": "2026-01-05",
        "balance_won": 0,
    }
    body = {"outcome": "approved", "receipt": {**whole, **receipt} if receipt else None}
    with Scripted(lambda exchange: exchange.json(body)) as server:
        client = HttpHost(server.url, TERMINAL_NO, Ed25519PrivateKey.generate())
        assert client.pay(Transaction("0" * 32, "s1", "normal", 15_000), START) is None
