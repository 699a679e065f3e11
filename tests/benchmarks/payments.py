"""How many durable payments a second: the storage call beside the same statements bare, in one run.

`python -m tests.benchmarks.payments [--tiny]`. One set of payments is made once and written down twice:
the calls that the host makes of its store, and the SQL statements with their values that these become.
Both are then replayed on copies of the same database, in turns, each with WAL and `synchronous=FULL`.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.clock import monotonic_s
from devices.home import Home
from simulators.host import core
from simulators.host.sql_store import SqlStore
from simulators.register import Register
from terminal.contract import PAYMENT_PATH
from tests.benchmarks.table import machine, show
from tests.peers.foreign import ROOT
from tests.simulators.host.bench import START, Caller, card_of, lookup_request, new_id, payment_request

if TYPE_CHECKING:
    from collections.abc import Iterator

WON = 10  # the least that a voucher may be debited: thousands of payments fit into one
DATABASE = "host.sqlite"
SETTINGS = ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")

Calls = list[tuple[str, tuple[Any, ...]]]
Statements = list[tuple[str, Any]]


@dataclass
class Recorder:
    """A store that passes everything on, and remembers each transaction as calls and as statements."""

    inner: SqlStore
    calls: list[Calls] = field(default_factory=list)
    statements: list[Statements] = field(default_factory=list)

    def __post_init__(self) -> None:
        sa.event.listen(self.inner._engine, "before_cursor_execute", self._heard)

    def _heard(self, _connection, _cursor, statement, parameters, _context, _many) -> None:
        self.statements[-1].append((statement, parameters))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Recorder]:
        self.calls.append([])
        self.statements.append([])
        with self.inner.transaction():
            yield self
        self.statements[-1].append(("COMMIT", ()))

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def recorded(*arguments: Any) -> Any:
            self.calls[-1].append((name, arguments))
            return call(*arguments)

        return recorded


def opened(path: Path, card: Any) -> str:
    """A database with its vouchers granted and one voucher page open; that page's session id."""
    store = SqlStore(path)
    try:
        core.open_books(store, START)
        voucher = core.lookup(store, card, lookup_request(), START).voucher
        assert voucher is not None
        return voucher.session_id
    finally:
        store.close()


def whole_payments(path: Path, card: Any, session_id: str, count: int, recorder: bool = False) -> tuple[float, Any]:
    """`core.pay` as the host calls it: rules, digest, answer and storage. Seconds, and what was recorded."""
    store = SqlStore(path)
    used = Recorder(store) if recorder else store
    ids = [new_id() for _ in range(count)]
    request = payment_request(session_id, amount_won=WON)
    try:
        since_s = monotonic_s()
        outcomes = {core.pay(used, card, one, request, START).outcome for one in ids}
        took_s = monotonic_s() - since_s
    finally:
        store.close()
    assert outcomes == {"approved"}, outcomes
    return took_s, used


def storage_s(path: Path, calls: list[Calls]) -> float:
    store = SqlStore(path)
    try:
        since_s = monotonic_s()
        for payment in calls:
            with store.transaction() as books:
                for name, arguments in payment:
                    getattr(books, name)(*arguments)
        return monotonic_s() - since_s
    finally:
        store.close()


def bare_s(path: Path, statements: list[Statements]) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    try:
        since_s = monotonic_s()
        for payment in statements:
            for statement, values in payment:
                connection.execute(statement, values).fetchall()
        return monotonic_s() - since_s
    finally:
        connection.close()


def http_s(folder: Path, count: int) -> float:
    """Payments over HTTP at a host of its own process, one after the other on one connection, signed beforehand."""
    key = Ed25519PrivateKey.generate()
    home = Home(folder / "home")
    Register(home.world / "terminals").add(card_of(key))
    words = ["--home", str(home.path), "sim", "host", "--at", START.isoformat(), "--until-eof"]
    process = subprocess.Popen(
        [sys.executable, "-m", "utbench", *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with requests.Session() as session:
            session.trust_env = False
            caller = Caller(process.stdout.readline().strip(), key, session=session)
            body = payment_request(caller.open_session(), amount_won=WON).model_dump_json().encode()
            signed = [caller.signed(PAYMENT_PATH, body, secrets.token_hex(16)) for _ in range(count)]
            since_s = monotonic_s()
            answers = [caller.send(one) for one in signed]
            took_s = monotonic_s() - since_s
            assert {one.json()["outcome"] for one in answers} == {"approved"}
            return took_s
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def measure(folder: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Payments a second, by what was done, one for each round."""
    card = card_of(Ed25519PrivateKey.generate())
    base = folder / "base" / DATABASE
    session_id = opened(base, card)

    def copy(name: str) -> Path:
        path = folder / name / DATABASE
        path.parent.mkdir(exist_ok=True)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        shutil.copy(base, path)
        return path

    _seconds, recorded = whole_payments(copy("recorded"), card, session_id, count, recorder=True)
    rates: dict[str, list[float]] = {"bare": [], "storage": [], "whole": [], "http": []}
    fewer = max(1, count // 4)  # over HTTP, which is the slowest
    for turn in range(rounds):
        rates["bare"].append(count / bare_s(copy("bare"), recorded.statements))
        rates["storage"].append(count / storage_s(copy("storage"), recorded.calls))
        rates["whole"].append(count / whole_payments(copy("whole"), card, session_id, count)[0])
        rates["http"].append(fewer / http_s(folder / f"http-{turn}", fewer))
    _same_books(folder, count)
    return rates


def _same_books(folder: Path, count: int) -> None:
    """Each way did the same work, to the last entry of the ledger."""
    heads = set()
    for name in ("recorded", "bare", "storage"):
        with contextlib.closing(sqlite3.connect(folder / name / DATABASE)) as connection:
            heads.add(connection.execute("SELECT hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone())
            assert connection.execute("SELECT count(*) FROM payments").fetchone() == (count,)
    assert len(heads) == 1, heads


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few payments: does it still run?")
    count, rounds = (20, 1) if parser.parse_args(argv).tiny else (1000, 3)
    with tempfile.TemporaryDirectory(prefix="utbench-") as folder:
        measured = measure(Path(folder), count, rounds)
    bare_per_s = statistics.median(measured["bare"])
    names = {
        "bare": "the same statements, bare sqlite3",
        "storage": "storage calls of a payment",
        "whole": "whole payment: rules, answer and storage",
        "http": "over HTTP, one connection, signatures checked",
    }
    rows = []
    for name, text in names.items():
        rates = measured[name]
        per_s = statistics.median(rates)
        rows.append((text, f"{per_s:,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}", f"{per_s / bare_per_s:.0%}"))
    print(machine())
    show(
        f"Durable payments (WAL, synchronous=FULL), {count} each, median of {rounds}",
        ("", "per s", "least to most", "of bare"),
        rows,
    )


if __name__ == "__main__":
    main()
