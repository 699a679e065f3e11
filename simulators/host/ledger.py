"""The ledger: double entries that are only ever added, each bound to the one before it by its hash.

Pure. Every entry moves won from the account that is debited to the one that is credited, so the sum
over all accounts is always 0, and a voucher's balance is its credits less its debits.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - a dataclass field
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.errors import UtbenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GENESIS = "0" * 64
TREASURY = "treasury"
VOUCHER_PREFIX = "voucher:"


class LedgerError(UtbenchError):
    """The books do not hold: an entry was changed, is missing, or would overdraw a voucher."""

    code = "ledger"


@dataclass(frozen=True, slots=True)
class Posting:
    """What is to be entered. `at` is business time, `what` one of grant, payment, reversal."""

    at: dt.datetime
    transaction_id: str
    what: str
    debit: str
    credit: str
    amount_won: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger; `seq` counts from 1, `prev` and `hash` are sha256 in hex, `at` is ISO 8601."""

    seq: int
    at: str
    transaction_id: str
    what: str
    debit: str
    credit: str
    amount_won: int
    prev: str
    hash: str


def voucher_account(recipient: str, program: str) -> str:
    return f"{VOUCHER_PREFIX}{recipient}:{program}"


def institution_account(institution: str) -> str:
    return f"institution:{institution}"


def chained(posting: Posting, seq: int, prev: str) -> Entry:
    """`posting` as entry `seq`, after the entry whose hash is `prev`."""
    at = posting.at.isoformat()
    digest = _hash(
        seq, at, posting.transaction_id, posting.what, posting.debit, posting.credit, posting.amount_won, prev
    )
    return Entry(
        seq,
        at,
        posting.transaction_id,
        posting.what,
        posting.debit,
        posting.credit,
        posting.amount_won,
        prev,
        digest,
    )


def audit(entries: Iterable[Entry], balances: Mapping[str, int]) -> None:
    """Every hash and number in order, no voucher ever below 0, and `balances` what the entries add up to.

    `LedgerError` names the first entry that does not hold, or the account.
    """
    prev, sums = GENESIS, Counter[str]()
    for seq, entry in enumerate(entries, 1):
        mine = _hash(seq, entry.at, entry.transaction_id, entry.what, entry.debit, entry.credit, entry.amount_won, prev)
        if entry.seq != seq or entry.prev != prev or entry.hash != mine:
            raise LedgerError(f"The ledger does not hold at entry {entry.seq}: it was changed or one is missing.")
        prev = mine
        sums[entry.debit] -= entry.amount_won
        sums[entry.credit] += entry.amount_won
        refuse_overdraft(entry.debit, sums[entry.debit])
    for account in sorted(sums.keys() | balances.keys()):
        if sums[account] != balances.get(account, 0):
            raise LedgerError(f"The balance of {account} is not what its entries add up to.")


def refuse_overdraft(account: str, balance_won: int) -> None:
    if balance_won < 0 and account.startswith(VOUCHER_PREFIX):
        raise LedgerError(f"An entry would overdraw {account}.")


def _hash(*fields: str | int) -> str:
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()
