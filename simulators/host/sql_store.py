"""What the host remembers, in SQLite: the only place that knows SQL.

One connection and one write lock; every transaction is `BEGIN IMMEDIATE`, the journal is a WAL, and a
commit is on the disk before an answer leaves (`synchronous=FULL`). Triggers refuse to change or remove
an entry of the ledger, and a check refuses to overdraw a voucher, whoever holds the file.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from devices.errors import UtbenchError
from simulators.host import ledger
from simulators.host.ledger import Entry
from simulators.host.store import Payment, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from simulators.host.ledger import Posting
    from simulators.host.store import Books

USER_VERSION = 1

_tables = sa.MetaData()
_counters = sa.Table(
    "counters", _tables, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Integer, nullable=False)
)
_ledger = sa.Table(
    "ledger",
    _tables,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("transaction_id", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("debit", sa.Text, nullable=False),
    sa.Column("credit", sa.Text, nullable=False),
    sa.Column("amount_won", sa.Integer, sa.CheckConstraint("amount_won > 0"), nullable=False),
    sa.Column("prev", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
)
_balances = sa.Table(
    "balances",
    _tables,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("won", sa.Integer, nullable=False),
    sa.CheckConstraint(f"won >= 0 OR account NOT LIKE '{ledger.VOUCHER_PREFIX}%'"),
)
_sessions = sa.Table(
    "sessions",
    _tables,
    sa.Column("id", sa.Text, primary_key=True),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("terminal_no", "recipient", "institution", "program", "worker", "means", "opened_at")
    ),
)
_payments = sa.Table(
    "payments",
    _tables,
    sa.Column("transaction_id", sa.Text, primary_key=True),
    *(
        sa.Column(name, sa.Integer if name == "amount_won" else sa.Text, nullable=False)
        for name in Payment.__dataclass_fields__
        if name != "transaction_id"
    ),
)
_nonces = sa.Table(
    "nonces",
    _tables,
    sa.Column("terminal_no", sa.Text, primary_key=True),
    sa.Column("nonce", sa.Text, primary_key=True),
    sa.Column("created", sa.Integer, nullable=False, index=True),
)
_TRIGGERS = tuple(
    f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for verb in ("UPDATE", "DELETE")
)


class DatabaseError(UtbenchError):
    """The file is no host database, or one of another version of this program."""

    code = "database"


class SqlStore:
    """The host's database at `path`, made if it is not there. `DatabaseError` if it is not ours to read."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            poolclass=sa.StaticPool,
            connect_args={"check_same_thread": False, "timeout": 10},
            hide_parameters=True,
        )
        sa.event.listen(self._engine, "connect", _settings)
        sa.event.listen(self._engine, "begin", _begin_immediate)
        try:
            self._connection = self._engine.connect()
            with self.transaction():
                self._create_or_check(path)
        except sa.exc.DatabaseError as error:
            self._engine.dispose()
            raise DatabaseError(
                f"{path} cannot be opened as the host's database.",
                "Look at the file's rights, or start again with an empty one: `utbench sim host --reset`.",
            ) from error
        except DatabaseError:
            self.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Books]:
        with self._lock:
            if self._connection.in_transaction():
                yield self
            else:
                with self._connection.begin():
                    yield self

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            self._engine.dispose()

    def number(self, counter: str) -> int:
        row = insert(_counters).values(name=counter, value=1)
        row = row.on_conflict_do_update(index_elements=["name"], set_={"value": _counters.c.value + 1})
        return int(self._connection.execute(row.returning(_counters.c.value)).scalar_one())

    def post(self, posting: Posting) -> Entry:
        ledger.refuse_overdraft(posting.debit, self.balance(posting.debit) - posting.amount_won)
        last = self._connection.execute(
            sa.select(_ledger.c.seq, _ledger.c.hash).order_by(_ledger.c.seq.desc()).limit(1)
        ).one_or_none()
        seq, prev = (last.seq, last.hash) if last else (0, ledger.GENESIS)
        entry = ledger.chained(posting, seq + 1, prev)
        self._connection.execute(sa.insert(_ledger).values(asdict(entry)))
        self._move(entry.debit, -entry.amount_won)
        self._move(entry.credit, entry.amount_won)
        return entry

    def entries(self, after: int = 0, limit: int | None = None) -> Sequence[Entry]:
        query = sa.select(_ledger).where(_ledger.c.seq > after).order_by(_ledger.c.seq).limit(limit)
        return [Entry(**row) for row in self._connection.execute(query).mappings()]

    def balance(self, account: str) -> int:
        won = self._connection.scalar(sa.select(_balances.c.won).where(_balances.c.account == account))
        return int(won or 0)

    def balances(self) -> dict[str, int]:
        return {row.account: row.won for row in self._connection.execute(sa.select(_balances))}

    def session(self, session_id: str) -> Session | None:
        row = self._one(_sessions, _sessions.c.id == session_id)
        return Session(**{**row, "opened_at": dt.datetime.fromisoformat(row["opened_at"])}) if row else None

    def add_session(self, session: Session) -> None:
        row = {**asdict(session), "opened_at": session.opened_at.isoformat()}
        self._connection.execute(sa.insert(_sessions).values(row))

    def payment(self, transaction_id: str) -> Payment | None:
        row = self._one(_payments, _payments.c.transaction_id == transaction_id)
        return Payment(**row) if row else None

    def save_payment(self, payment: Payment) -> None:
        row = insert(_payments).values(asdict(payment))
        rest = {name: row.excluded[name] for name in _payments.c.keys() if name != "transaction_id"}  # noqa: SIM118 - columns
        self._connection.execute(row.on_conflict_do_update(index_elements=["transaction_id"], set_=rest))

    def use_nonce(self, terminal_no: str, nonce: str, created: int, forget_before: int) -> bool:
        self._connection.execute(sa.delete(_nonces).where(_nonces.c.created < forget_before))
        row = insert(_nonces).values(terminal_no=terminal_no, nonce=nonce, created=created)
        return self._connection.execute(row.on_conflict_do_nothing()).rowcount == 1

    def _move(self, account: str, won: int) -> None:
        row = insert(_balances).values(account=account, won=0).on_conflict_do_nothing()
        self._connection.execute(row)
        change = sa.update(_balances).where(_balances.c.account == account)
        self._connection.execute(change.values(won=_balances.c.won + won))

    def _one(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> dict[str, Any] | None:
        row = self._connection.execute(sa.select(table).where(condition)).mappings().one_or_none()
        return dict(row) if row else None

    def _create_or_check(self, path: Path) -> None:
        version = self._connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == 0 and not sa.inspect(self._connection).get_table_names():
            _tables.create_all(self._connection)
            for trigger in _TRIGGERS:
                self._connection.exec_driver_sql(trigger)
            self._connection.exec_driver_sql(f"PRAGMA user_version = {USER_VERSION}")
        elif version != USER_VERSION:
            raise DatabaseError(
                f"{path} is of version {version}, but this program reads version {USER_VERSION}.",
                "Use the program that made it, or start again with an empty one: `utbench sim host --reset`.",
            )


def _settings(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_immediate` does
    for setting in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
