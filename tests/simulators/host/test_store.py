"""What the host remembers, in both stores."""

import datetime as dt
import json
import sqlite3
import threading

import pytest

from devices.clock import KST
from simulators.host.core import lookup, open_books
from simulators.host.ledger import LedgerError, Posting, voucher_account
from simulators.host.people import PEOPLE, cards
from simulators.host.sql_store import DatabaseError, SqlStore
from simulators.host.store import Payment, Session, verify_chain
from tests.simulators.host.bench import lookup_request

NOW = dt.datetime(2026, 1, 5, 10, tzinfo=KST)
ACCOUNT = voucher_account("rec-1", "070101")


def _spend(books, won, transaction_id="t"):
    return books.post(Posting(NOW, transaction_id, "payment", ACCOUNT, "institution:inst-1", won))


def _fail_after_writing_everything(store):
    with store.transaction() as books:
        _spend(books, 10)
        books.number("approval")
        books.add_session(Session("S1", "T1", "r", "i", "p", "w", "card", NOW))
        books.save_payment(Payment("new", "T1", "at"))
        books.save_payment(Payment("old", "T1", "later"))
        books.use_nonce("T1", "n", 1000, 0)
        raise ZeroDivisionError


def test_the_books_open_with_every_grant_and_only_once(store):
    """Opening twice grants once; the guide's balances are there and the chain holds."""
    open_books(store, NOW)
    with store.transaction() as books:
        assert books.balance(ACCOUNT) == 897_894
        assert books.balance(voucher_account("rec-2", "008003")) == 160_000
        assert len(books.entries()) == len(PEOPLE.vouchers)
    verify_chain(store)


def test_a_failed_transaction_leaves_nothing(store):
    """Entries, balances, numbers, sessions, payments and nonces are as before when an error leaves it."""
    with store.transaction() as books:
        before = (books.entries(), books.balances())
        books.save_payment(Payment("old", "T1", "at"))
    with pytest.raises(ZeroDivisionError):
        _fail_after_writing_everything(store)
    with store.transaction() as books:
        assert (books.entries(), books.balances()) == before
        assert books.number("approval") == 1
        assert books.session("S1") is None
        assert books.payment("new") is None
        assert books.payment("old") == Payment("old", "T1", "at")
        assert books.use_nonce("T1", "n", 1000, 0)


def test_a_transaction_within_one_joins_it(store):
    """An inner transaction commits with the outer one, and is undone with it."""
    with pytest.raises(ZeroDivisionError), store.transaction():
        _fail_after_writing_everything(store)
    with store.transaction(), store.transaction() as books:
        _spend(books, 20)
    with store.transaction() as books:
        assert books.balance(ACCOUNT) == 897_894 - 20


def test_what_is_put_in_comes_out(store):
    """Sessions and payments read back as they were written, a payment as it was last written."""
    session = Session("S1", "T1", "rec-1", "inst-1", "070101", "1001", "card", NOW)
    payment = Payment("t", "T1", "at", "digest", "{}", "", amount_won=10, approval_no="500000000001")
    with store.transaction() as books:
        books.add_session(session)
        books.save_payment(Payment("t", "T1", "at"))
        books.save_payment(payment)
    with store.transaction() as books:
        assert books.session("S1") == session
        assert books.payment("t") == payment
        assert books.session("S2") is None
        assert books.payment("u") is None


def test_a_nonce_is_used_once_per_terminal_and_forgotten_with_age(store):
    """The same nonce is refused to the same terminal, allowed to another, and free once it is too old to matter."""
    with store.transaction() as books:
        assert books.use_nonce("T1", "n", 1000, 690)
        assert not books.use_nonce("T1", "n", 1000, 690)
        assert books.use_nonce("T2", "n", 1000, 690)
        assert not books.use_nonce("T1", "n", 1310, 1000)
        assert books.use_nonce("T1", "n", 1311, 1001)


def test_a_voucher_is_never_overdrawn(store):
    """An entry that would take a voucher below 0 is refused, and nothing changes."""
    with pytest.raises(LedgerError), store.transaction() as books:
        _spend(books, 897_900)
    with store.transaction() as books:
        assert books.balance(ACCOUNT) == 897_894


def test_entries_are_read_in_pages(store):
    """`after` and `limit` cut the ledger into pages that together are the whole of it."""
    with store.transaction() as books:
        pages = [entry for after in range(0, 6, 2) for entry in books.entries(after, 2)]
        assert pages == list(books.entries())


def test_many_threads_spend_no_won_twice(store):
    """Eight threads that post at once lose no entry, and the chain holds."""

    def spend():
        for _ in range(10):
            with store.transaction() as books:
                _spend(books, 10)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.transaction() as books:
        assert books.balance(ACCOUNT) == 897_894 - 800
    verify_chain(store)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "host.sqlite"
    store = SqlStore(path)
    open_books(store, NOW)
    with store.transaction() as books:
        for won in (10, 20, 30):
            _spend(books, won)
    store.close()
    return path


@pytest.mark.parametrize("statement", ["UPDATE ledger SET amount_won = 1", "DELETE FROM ledger WHERE seq = 1"])
def test_the_database_itself_refuses_to_rewrite_the_ledger(database, statement):
    """Triggers refuse an update and a delete, whoever holds the file."""
    connection = sqlite3.connect(database)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET amount_won = 11 WHERE seq = 6",
        "UPDATE ledger SET transaction_id = 'x' WHERE seq = 7",
        "UPDATE ledger SET hash = 'x' WHERE seq = 8",
        "DELETE FROM ledger WHERE seq = 7",
        "DELETE FROM ledger WHERE seq = 8",
        "UPDATE balances SET won = won + 10 WHERE account = 'institution:inst-1'",
    ],
)
def test_a_tampered_ledger_is_found_out(database, statement):
    """With the triggers gone, a change, a gap, a cut end or a moved balance is still found by the chain."""
    connection = sqlite3.connect(database)
    connection.executescript(f"DROP TRIGGER ledger_no_update; DROP TRIGGER ledger_no_delete; {statement}")
    connection.close()
    store = SqlStore(database)
    with pytest.raises(LedgerError):
        verify_chain(store)
    store.close()


def test_the_untouched_ledger_holds_after_a_restart(database):
    """The same file opened again holds, with its balances."""
    store = SqlStore(database)
    verify_chain(store)
    with store.transaction() as books:
        assert books.balance(ACCOUNT) == 897_894 - 60
    store.close()


def test_a_database_of_another_version_is_refused_by_name(database):
    """A foreign `user_version` is an error that names `--reset`, and the file is left as it was."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DatabaseError, match=r"99.*--reset"):
        SqlStore(database)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """Garbage, or another program's tables, is an error with a way out."""
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseError, match="--reset"):
        SqlStore(garbage)
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(DatabaseError, match="--reset"):
        SqlStore(foreign)


def test_the_database_is_as_durable_as_it_says(tmp_path):
    """WAL and `synchronous=FULL` are in force on the connection that writes."""
    store = SqlStore(tmp_path / "host.sqlite")
    with store.transaction() as books:
        assert books._connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert books._connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    store.close()


def test_no_card_number_is_ever_stored(store, card):
    """A lookup keeps whose session it is, not what the reader read."""
    answer = lookup(store, card, lookup_request(), NOW)
    with store.transaction() as books:
        kept = json.dumps([str(books.session(answer.voucher.session_id)), str(books.entries())])
    assert not any(number in kept for number in cards().values())
