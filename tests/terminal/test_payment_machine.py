"""Terminal and host together over a bad network, against the simplest model: one id, one debit, one truth."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulators.host.store import verify_chain
from terminal.state import Act, KeyPress, Log, Reverse, Save
from tests.terminal.bench import BOTH, OK, REPLY_LOST, REQUEST_LOST, Bench, PowerCut

GRANTED_WON = 897_894


class PaymentMachine(RuleBasedStateMachine):
    """Hands, network, time and power in any order. The model: what the terminal said last of each transaction."""

    @initialize(which=st.sampled_from(BOTH))
    def switch_on(self, which):
        self.bench = Bench(*which)

    @rule(fates=st.lists(st.sampled_from([OK, REQUEST_LOST, REPLY_LOST]), min_size=1, max_size=8))
    def network(self, fates):
        """These fates in turn, the last one for good."""
        left = list(fates)
        self.bench.host.fate = lambda _what: left.pop(0) if len(left) > 1 else left[0]

    @rule(cut=st.one_of(st.none(), st.integers(0, 12)), amount=st.sampled_from(["10", "15000", "300000"]))
    @precondition(lambda self: self.bench.screen == "program")
    def pay(self, cut, amount):
        """One payment from the first page to its end; perhaps the power is cut on the way."""
        bench = self.bench
        bench.touch("발달재활", "카드결제")
        bench.tap()
        bench.press(*"1001", "ok")
        if bench.screen != "voucher":
            return
        bench.touch("서비스결제")
        if bench.screen == "kind":
            bench.touch("소급결제", "확인", "다음")
            bench.press(*"0105", "ok")
        bench.press(*amount, "ok")
        if bench.screen == "reason":
            bench.touch("카드 분실")
            self.act(Act("ok"), cut)

    @rule(cut=st.one_of(st.none(), st.none(), st.integers(0, 6)), seconds=st.sampled_from([1, 3, 10, 60]))
    def time_passes(self, cut, seconds):
        self.bench.cut_after = cut
        try:
            self.bench.advance(seconds)
        except PowerCut:
            self.boot()
        self.bench.cut_after = None

    @rule(key=st.sampled_from(["ok", "cancel", "back", "f1", "f2", "power", "down", "menu"]))
    def key(self, key):
        self.act(KeyPress(key), None)

    @rule()
    def power_cut(self):
        self.boot()

    def act(self, event, cut):
        self.bench.cut_after = cut
        try:
            self.bench.do(event)
        except PowerCut:
            self.boot()
        self.bench.cut_after = None

    def boot(self):
        self.bench.boot()
        self.bench.press("power")

    @invariant()
    def one_debit_at_most(self):
        """No transaction is ever debited twice, and the balance is what the ledger adds up to."""
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        assert all(count == 1 for count in bench.debits().values())
        with bench.host.store.transaction() as books:
            entries = books.entries()
        paid = sum(entry.amount_won for entry in entries if entry.what == "payment")
        voided = sum(entry.amount_won for entry in entries if entry.what == "reversal")
        assert bench.host.balance_won() == GRANTED_WON - paid + voided

    def teardown(self):
        """The dust settles: the network is back, the power stays on. Nothing is in doubt, on either side."""
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        bench.host.fate = lambda _what: OK
        if bench.screen == "off":
            bench.press("power")
        bench.advance(120)
        assert (bench.state.pending, bench.journal.load()) == (None, None)
        for transaction_id, word in self.last_words().items():
            assert bench.host.outcome(transaction_id) in word, transaction_id
        assert set(bench.debits()) <= set(self.last_words())
        verify_chain(bench.host.store)

    def last_words(self):
        """What the terminal itself made of each transaction, from its own effects: any of these at the host agrees."""
        words, open_id = {}, ""
        for effect in self.bench.effects:
            match effect:
                case Save(None) if open_id:
                    words.setdefault(open_id, {"approved", "declined"})
                    open_id = ""
                case Save(transaction):
                    open_id = transaction.id if transaction else open_id
                case Reverse(transaction):
                    words[transaction.id] = {"reversed"}
                case Log("paid", about):
                    words[about["id"]] = {about["outcome"]}
        return words


TestPayments = PaymentMachine.TestCase
TestPayments.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
