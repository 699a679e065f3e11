"""The host's core against a simple model, on both stores at once: whatever happens, they agree."""

import datetime as dt
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from simulators.host.core import APPROVAL_BASE, KeyReused, lookup, open_books, pay, reverse
from simulators.host.ledger import TREASURY, institution_account, voucher_account
from simulators.host.people import PEOPLE, cards
from simulators.host.sql_store import SqlStore
from simulators.host.store import DictStore, verify_chain
from tests.simulators.host.bench import START, card_of, lookup_request, payment_request, reversal_request

KEY = Ed25519PrivateKey.generate()
TERMINALS = [card_of(KEY, "T1"), card_of(KEY, "T2", "ut-77l"), card_of(KEY, "T3", "ut-55l", "inst-2")]
IDS = st.integers(0, 5).map(lambda number: f"{number:032x}")
WHO = st.sampled_from(TERMINALS)
SESSIONS = st.integers(0, 6).map(lambda number: f"S{number:08d}")
AMOUNTS = st.sampled_from([0, 5, 10, 15_000, 70_000, 100_000, 160_000])
SKEWS_S = st.sampled_from([0, 0, 0, 299, 300])
GRANTED_WON = 160_000
ACCOUNT = voucher_account("rec-2", "008003")


class HostMachine(RuleBasedStateMachine):
    """One voucher of 160,000원, three terminals, six transaction ids; the model is three dicts."""

    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.stores = [DictStore(), SqlStore(Path(self.folder.name) / "host.sqlite")]
        self.now = START
        for store in self.stores:
            open_books(store, self.now)
        self.sessions: dict[str, tuple[str, dt.datetime]] = {}
        self.paid: dict[str, tuple] = {}  # id → (terminal, fields, what the first answer must be)
        self.reversed: dict[str, str] = {}
        self.balance_won = GRANTED_WON
        self.approvals = 0

    def teardown(self):
        for store in getattr(self, "stores", []):
            verify_chain(store)
            store.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def both(self, act):
        answers = []
        for store in self.stores:
            try:
                answers.append(act(store))
            except KeyReused:
                answers.append("reused")
        assert answers[0] == answers[1]
        return answers[0]

    @rule(seconds=st.sampled_from([1, 60, 299, 300, 86_400]))
    def time_passes(self, seconds):
        self.now += dt.timedelta(seconds=seconds)

    @rule(seconds=SKEWS_S)
    def restart(self, seconds):
        """The host dies and comes back on the same file; nothing is forgotten."""
        self.stores[1].close()
        self.stores[1] = SqlStore(Path(self.folder.name) / "host.sqlite")
        open_books(self.stores[1], self.now + dt.timedelta(seconds=seconds))

    @rule(who=WHO, skew_s=SKEWS_S)
    def look_up(self, who, skew_s):
        request = lookup_request(
            program="008003",
            card=cards()["recipient-008003"],
            terminal_time=self.now + dt.timedelta(seconds=skew_s),
        )
        answer = self.both(lambda store: lookup(store, who, request, self.now))
        code = "0101" if skew_s >= 300 else "2207" if who.institution == "inst-2" else ""
        assert answer.code == code
        if not code:
            assert answer.voucher.balance_won == self.balance_won
            self.sessions[answer.voucher.session_id] = (who.terminal_no, self.now)

    @rule(
        transaction_id=IDS, who=WHO, session_id=SESSIONS, amount_won=AMOUNTS, skew_s=SKEWS_S, attempt=st.integers(1, 3)
    )
    def pay(self, transaction_id, who, session_id, amount_won, *, skew_s, attempt):
        request = payment_request(
            session_id,
            amount_won=amount_won,
            attempt=attempt,
            terminal_time=self.now + dt.timedelta(seconds=skew_s),
        )
        answer = self.both(lambda store: pay(store, who, transaction_id, request, self.now))
        known, mine = self.paid.get(transaction_id), (who.terminal_no, (session_id, amount_won))
        buried_by = self.reversed.get(transaction_id, who.terminal_no)
        if (known and known[:2] != mine) or buried_by != who.terminal_no:
            assert answer == "reused"
        elif transaction_id in self.reversed:
            assert (answer.outcome, answer.receipt) == ("reversed", None)
        elif known:
            assert answer == known[2]
        else:
            self.expect_first(answer, who, session_id, amount_won, skew_s)
            self.paid[transaction_id] = (*mine, answer)

    def expect_first(self, answer, who, session_id, amount_won, skew_s):
        owner, opened_at = self.sessions.get(session_id, ("", self.now))
        if skew_s >= 300:
            code = "0101"
        elif owner != who.terminal_no or (self.now - opened_at).total_seconds() >= 300:
            code = "SIM-SESSION"
        elif amount_won == 0 or amount_won % 10:
            code = "SIM-AMOUNT"
        elif amount_won > self.balance_won:
            code = "SIM-BALANCE"
        else:
            self.approvals += 1
            self.balance_won -= amount_won
            assert answer.receipt.approval_no == str(APPROVAL_BASE + self.approvals)
            assert answer.receipt.balance_won == self.balance_won
            code = ""
        assert (answer.outcome, answer.code) == ("declined" if code else "approved", code)

    @rule(transaction_id=IDS, who=WHO, attempt=st.integers(1, 3))
    def reverse(self, transaction_id, who, attempt):
        request = reversal_request(attempt=attempt, terminal_time=self.now - dt.timedelta(days=1))
        answer = self.both(lambda store: reverse(store, who, transaction_id, request, self.now))
        known = self.paid.get(transaction_id)
        owner = known[0] if known else self.reversed.get(transaction_id, who.terminal_no)
        if owner != who.terminal_no:
            assert answer == "reused"
            return
        assert answer.outcome == "reversed"
        if transaction_id not in self.reversed:
            self.reversed[transaction_id] = who.terminal_no
            if known and known[2].outcome == "approved":
                self.balance_won += known[1][1]
                assert answer.balance_won == self.balance_won

    @invariant()
    def the_books_are_the_models(self):
        """Balance, entries and both stores agree; won are neither made nor lost."""
        for store in getattr(self, "stores", []):
            with store.transaction() as books:
                balances, entries = books.balances(), books.entries()
            assert balances[ACCOUNT] == self.balance_won >= 0
            assert sum(balances.values()) == 0
            assert balances[TREASURY] == -sum(one.granted_won for one in PEOPLE.vouchers)
            assert balances.get(institution_account("inst-1"), 0) == GRANTED_WON - self.balance_won
            for transaction_id in self.paid:
                lines = [entry.what for entry in entries if entry.transaction_id == transaction_id]
                assert lines in ([], ["payment"], ["payment", "reversal"])


TestHost = HostMachine.TestCase
TestHost.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
