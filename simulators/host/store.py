"""What the host remembers, as a small Protocol, and the fake that keeps it in dicts for simulation.

Everything is read and written inside `transaction()`: one at a time, all of it or nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt  # noqa: TC003 - a dataclass field
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from simulators.host import ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from simulators.host.ledger import Entry, Posting


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Session:
    """One open voucher page: who may pay for whom until when. `opened_at` is business time in KST."""

    id: str
    terminal_no: str
    recipient: str
    institution: str
    program: str
    worker: str
    means: str
    opened_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """One transaction id and what became of it.

    `answer` and `reversal` are the stored answers as JSON, empty where there is none: a tombstone has
    a reversal and no answer. `digest` is that of the first request's business fields. The rest is
    filled as far as the request was understood; `approval_no` says that won were debited.
    """

    transaction_id: str
    terminal_no: str
    at: str
    digest: str = ""
    answer: str = ""
    reversal: str = ""
    session_id: str = ""
    recipient: str = ""
    institution: str = ""
    program: str = ""
    worker: str = ""
    means: str = ""
    kind: str = ""
    service_date: str = ""
    reason: str = ""
    amount_won: int = 0
    approval_no: str = ""

    @property
    def outcome(self) -> str:
        if self.reversal:
            return "reversed"
        return "approved" if self.approval_no else "declined"


class Books(Protocol):
    """The open books of one transaction."""

    def number(self, counter: str) -> int:
        """The next number of that counter: 1, 2, 3 …"""

    def post(self, posting: Posting) -> Entry:
        """Append to the ledger; `LedgerError` if a voucher would be overdrawn."""

    def entries(self, after: int = 0, limit: int | None = None) -> Sequence[Entry]:
        """In order, from the entry that follows number `after`."""

    def balance(self, account: str) -> int:
        """Credits less debits, in won; 0 for an account that nobody has used."""

    def balances(self) -> dict[str, int]: ...

    def session(self, session_id: str) -> Session | None: ...

    def add_session(self, session: Session) -> None: ...

    def payment(self, transaction_id: str) -> Payment | None: ...

    def save_payment(self, payment: Payment) -> None:
        """Insert, or replace what is remembered under its id."""

    def use_nonce(self, terminal_no: str, nonce: str, created: int, forget_before: int) -> bool:
        """False if that terminal used it already; those created before `forget_before` (Unix s) are dropped."""


class Store(Protocol):
    def transaction(self) -> AbstractContextManager[Books]:
        """All or nothing, one writer at a time. A transaction within one (same thread) joins it."""

    def close(self) -> None: ...


def verify_chain(store: Store) -> None:
    """`LedgerError` unless every entry is where and what it was, and the balances are their sums."""
    with store.transaction() as books:
        ledger.audit(books.entries(), books.balances())


class DictStore:
    """Everything in memory. A failed transaction is undone step by step, newest first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._undo: list[Callable[[], object]] = []
        self._counters: dict[str, int] = {}
        self._entries: list[Entry] = []
        self._balances: dict[str, int] = {}
        self._sessions: dict[str, Session] = {}
        self._payments: dict[str, Payment] = {}
        self._nonces: dict[tuple[str, str], int] = {}

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Books]:
        with self._lock:
            self._depth += 1
            try:
                yield self
            except BaseException:
                if self._depth == 1:
                    for step in reversed(self._undo):
                        step()
                raise
            finally:
                self._depth -= 1
                if not self._depth:
                    self._undo.clear()

    def close(self) -> None:
        """Nothing to give back."""

    def number(self, counter: str) -> int:
        value = self._counters.get(counter, 0) + 1
        self._put(self._counters, counter, value)
        return value

    def post(self, posting: Posting) -> Entry:
        ledger.refuse_overdraft(posting.debit, self.balance(posting.debit) - posting.amount_won)
        prev = self._entries[-1].hash if self._entries else ledger.GENESIS
        entry = ledger.chained(posting, len(self._entries) + 1, prev)
        self._entries.append(entry)
        self._undo.append(self._entries.pop)
        self._put(self._balances, entry.debit, self.balance(entry.debit) - entry.amount_won)
        self._put(self._balances, entry.credit, self.balance(entry.credit) + entry.amount_won)
        return entry

    def entries(self, after: int = 0, limit: int | None = None) -> Sequence[Entry]:
        return tuple(self._entries[after : None if limit is None else after + limit])

    def balance(self, account: str) -> int:
        return self._balances.get(account, 0)

    def balances(self) -> dict[str, int]:
        return dict(self._balances)

    def session(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def add_session(self, session: Session) -> None:
        self._put(self._sessions, session.id, session)

    def payment(self, transaction_id: str) -> Payment | None:
        return self._payments.get(transaction_id)

    def save_payment(self, payment: Payment) -> None:
        self._put(self._payments, payment.transaction_id, payment)

    def use_nonce(self, terminal_no: str, nonce: str, created: int, forget_before: int) -> bool:
        for key in [key for key, at in self._nonces.items() if at < forget_before]:
            del self._nonces[key]
        if (terminal_no, nonce) in self._nonces:
            return False
        self._put(self._nonces, (terminal_no, nonce), created)
        return True

    def _put(self, table: dict[_Key, _Value], key: _Key, value: _Value) -> None:
        self._undo.append(partial(table.__setitem__, key, table[key]) if key in table else partial(table.pop, key))
        table[key] = value
