"""A terminal's core over the voucher host's core, in one thread: time moves when told, the network does as told."""

import datetime as dt
import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, replace

from devices.clock import KST
from devices.durable import DiskError
from simulators.host.core import lookup, open_books, pay, reverse
from simulators.host.ledger import voucher_account
from simulators.host.people import cards
from simulators.host.store import DictStore
from simulators.register import TerminalCard
from terminal import core, flow
from terminal.contract import LookupRequest, PaymentRequest, ReversalRequest
from terminal.firmware import release_text
from terminal.journal import MemoryJournal
from terminal.release import load
from terminal.state import (
    Act,
    After,
    CardRead,
    KeyPress,
    Log,
    LookedUp,
    Lookup,
    Moment,
    Paid,
    Pay,
    Register,
    Registered,
    Reverse,
    Reversed,
    Save,
    State,
    Unsaved,
)
from terminal.view import find_target, view

START = dt.datetime(2026, 1, 5, 10, tzinfo=KST)  # the guide's own screens
NEW = {"ut-99l": 1004, "ut-77l": 1014, "ut-55l": 1021}
OLD = {"ut-99l": 1003, "ut-77l": 1013, "ut-55l": 1020}
MODELS = tuple(NEW)
BOTH = tuple((model, number) for table in (OLD, NEW) for model, number in table.items())
OK, REQUEST_LOST, REPLY_LOST = "ok", "request lost", "reply lost"
CARD = "recipient-070101"
WAY = ("program", "means", "card", "worker", "voucher", "kind", "caution", "service-date", "amount", "reason")
KEYS = [*"0123456789", "ok", "cancel", "back", "next", "up", "down", "f1", "f2", "menu", "power"]
RELEASES = {(model, number): load(release_text(model, number), model) for model, number in BOTH}


class PowerCut(Exception):  # noqa: N818 - it says what happened
    """Planted: everything that was not durable is gone."""


@dataclass
class CoreHost:
    """The host's plain functions as the terminal's Host. `fate` decides a request's way, `skew_s` its clock."""

    store: DictStore
    model: str = "ut-99l"
    skew_s: float = 0.0

    def __post_init__(self):
        self.card = TerminalCard("T0000001", "S0001", self.model, "inst-1", "", "token")
        self.fate = lambda _what: OK
        self.asked = []
        open_books(self.store, START)

    def lookup(self, wanted, now):
        def ask():
            request = LookupRequest(
                terminal_time=now,
                program=wanted.program,
                means=wanted.means,
                card=wanted.card,
                worker_payment_id=wanted.worker_payment_id,
            )
            return lookup(self.store, self.card, request, self._now(now))

        return self._send("lookup", ask)

    def pay(self, transaction, now):
        def ask():
            request = PaymentRequest(
                session_id=transaction.session_id,
                terminal_time=now,
                attempt=transaction.attempt,
                kind=transaction.kind,
                amount_won=transaction.amount_won,
                service_date=transaction.service_date,
                reason=transaction.reason,
            )
            return pay(self.store, self.card, transaction.id, request, self._now(now))

        return self._send(f"pay {transaction.id}", ask)

    def reverse(self, transaction, now):
        def ask():
            request = ReversalRequest(terminal_time=now, attempt=transaction.attempt)
            return reverse(self.store, self.card, transaction.id, request, self._now(now))

        return self._send(f"reverse {transaction.id}", ask)

    def _now(self, now):
        return now + dt.timedelta(seconds=self.skew_s)

    def _send(self, what, ask):
        self.asked.append(what)
        fate = self.fate(what.split()[0])
        answer = None if fate == REQUEST_LOST else ask()
        return answer if fate == OK else None

    def outcome(self, transaction_id):
        with self.store.transaction() as books:
            payment = books.payment(transaction_id)
        return payment.outcome if payment else "unknown"

    def entries(self, transaction_id):
        with self.store.transaction() as books:
            return [entry.what for entry in books.entries() if entry.transaction_id == transaction_id]

    def balance_won(self, recipient="rec-1", program="070101"):
        with self.store.transaction() as books:
            return books.balance(voucher_account(recipient, program))


class FullDisk(MemoryJournal):
    """A journal whose disk takes no transaction any more."""

    def save(self, transaction):
        if transaction is not None:
            raise DiskError("The disk is full.")
        super().save(transaction)


class Bench:
    """One terminal. `do` applies an event and everything that follows at once; timers wait for `advance`."""

    def __init__(self, model="ut-99l", number=None, *, journal=None, release=None, on=True):
        self.release = release or RELEASES[model, number or NEW[model]]
        self.model = model
        self.host = CoreHost(DictStore(), model)
        self.journal = journal or MemoryJournal()
        self.now, self.transport_s = START, 0.0
        self.fresh = (f"{n:032x}" for n in itertools.count(1))
        self.order = itertools.count()
        self.registered = Registered(ok=True)
        self.cut_after = None  # effects and answers until the power is cut
        self.effects, self.waiting, self.timers, self.unsaved = [], [], [], set()
        self.boot()
        if on:
            self.do(Act("power"))

    def boot(self):
        """What a power cut leaves: the journal."""
        self.waiting, self.timers, self.cut_after = [], [], None
        self.state = State(
            model=self.model,
            terminal_no="9910000001",
            serial="UT99L-0001",
            release=self.release,
            pending=self.journal.load(),
        )

    # -- what happens

    def apply(self, event):
        """One step and its effects; answers wait in `waiting`."""
        moment = Moment(self.now, self.transport_s, next(self.fresh))
        self.state, effects = core.step(self.state, event, moment)
        for effect in effects:
            self._maybe_cut()
            self.effects.append(effect)
            self._perform(effect)
        return self.lcd

    def do(self, *events):
        for event in events:
            self.apply(event)
            self.deliver()
        return self.lcd

    def deliver(self):
        while self.waiting:
            self._maybe_cut()
            self.apply(self.waiting.pop(0)())

    def _maybe_cut(self):
        if self.cut_after == 0:
            raise PowerCut
        if self.cut_after is not None:
            self.cut_after -= 1

    def _perform(self, effect):
        host, now = self.host, self.now
        match effect:
            case Register():
                self.waiting.append(lambda: self.registered)
            case Lookup(token):
                self._answer(LookedUp(token, host.lookup(effect, now)))
            case Pay(transaction) if transaction.id not in self.unsaved:
                self._answer(Paid(transaction.id, host.pay(transaction, now)))
            case Reverse(transaction):
                self._answer(Reversed(transaction.id, host.reverse(transaction, now)))
            case Save(transaction):
                try:
                    self.journal.save(transaction)
                except DiskError:
                    self.unsaved.add(transaction.id)
                    self._answer(Unsaved(transaction.id))
            case After(delay_s, due, business):
                at_s = delay_s + (self._business_s() if business else self.transport_s)
                heapq.heappush(self.timers, (at_s, next(self.order), business, due))

    def _answer(self, event):
        self.waiting.append(lambda: event)

    def _business_s(self):
        return (self.now - START).total_seconds()

    def advance(self, seconds):
        """Business and transport time go on together; timers fire when they are due."""
        end_s, began_s, began = self.transport_s + seconds, self.transport_s, self.now
        while True:
            due = [(at - (self._business_s() if bus else self.transport_s), n) for at, n, bus, _ in self.timers]
            wait_s, number = min(due, default=(None, 0))
            if wait_s is None or self.transport_s + wait_s > end_s:
                break
            self.transport_s += max(0.0, wait_s)
            self.now = began + dt.timedelta(seconds=self.transport_s - began_s)
            event = next(entry for entry in self.timers if entry[1] == number)
            self.timers.remove(event)
            heapq.heapify(self.timers)
            self.do(event[3])
        self.transport_s, self.now = end_s, began + dt.timedelta(seconds=seconds)
        return self.lcd

    # -- what a hand does

    def touch(self, *labels):
        for label in labels:
            target = find_target(self.lcd, label)
            assert not isinstance(target, str), f"{label!r} is {target} on {self.screen}:\n{self.lcd.text}"
            self.do(Act(target.action))
        return self.lcd

    def press(self, *keys):
        return self.do(*(KeyPress(key) for key in keys))

    def tap(self, card=CARD):
        return self.do(CardRead(cards()[card]))

    # -- the way to each page

    def to_voucher(self, program="발달재활", card=CARD, worker="1001"):
        self.touch(program, "카드결제")
        self.tap(card)
        self.press(*worker)
        return self.touch("확인")

    def to_retro(self):
        """Under the new release: the date page, open."""
        self.to_voucher()
        return self.touch("서비스결제", "소급결제", "확인", "다음")

    def to_reason(self, date="0105", amount="15000"):
        self.to_retro()
        self.press(*date)
        self.touch("확인")
        self.press(*amount)
        return self.touch("확인")

    def pay_retro(self, reason="단말기 분실", **how):
        self.to_reason(**how)
        return self.touch(reason, "확인")

    # -- what can be seen

    @property
    def lcd(self):
        return view(self.state)

    @property
    def screen(self):
        return flow.screen(self.state)

    def sent(self, what):
        return [effect for effect in self.effects if isinstance(effect, what)]

    def logged(self, kind):
        return [effect.about for effect in self.effects if isinstance(effect, Log) and effect.kind == kind]

    def debits(self):
        """How often each transaction was debited at the host."""
        with self.host.store.transaction() as books:
            return Counter(entry.transaction_id for entry in books.entries() if entry.what == "payment")

    def with_release(self, release):
        """The same state under another release: what an update leaves of it."""
        self.state = replace(self.state, release=release)
        return self


def at_page(name, model="ut-77l", number=None):
    """A retroactive payment (under the old release a normal one) that stands at that page, nothing typed there."""
    bench = Bench(model, number)
    steps = {
        "program": lambda: bench.touch("발달재활"),
        "means": lambda: bench.touch("카드결제"),
        "card": bench.tap,
        "worker": lambda: bench.press(*"1001", "ok"),
        "voucher": lambda: bench.touch("서비스결제"),
        "kind": lambda: bench.touch("소급결제", "확인"),
        "caution": lambda: bench.touch("다음"),
        "service-date": lambda: bench.press(*"0105", "ok"),
        "amount": lambda: bench.press(*"15000", "ok"),
        "reason": lambda: bench.touch("단말기 분실", "확인"),
    }
    while bench.screen != name:
        steps[bench.screen]()
    return bench
