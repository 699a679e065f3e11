"""The terminal's memory: a payment that is not settled, durable before the host hears of it, and the last worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from devices.durable import save_json, sync_folder
from devices.errors import UtbenchError
from terminal.state import Transaction

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


class Journal(Protocol):
    def load(self) -> Transaction | None: ...

    def save(self, transaction: Transaction | None) -> None:
        """Durable on return; None: nothing is open."""

    def last_worker(self) -> str:
        """The payment ID that was kept last, or nothing."""

    def remember(self, worker_payment_id: str) -> None: ...


class MemoryJournal:
    """The public fake; it survives what a terminal does to itself, not the process."""

    def __init__(self) -> None:
        self._open: Transaction | None = None
        self._worker = ""

    def load(self) -> Transaction | None:
        return self._open

    def save(self, transaction: Transaction | None) -> None:
        self._open = transaction

    def last_worker(self) -> str:
        return self._worker

    def remember(self, worker_payment_id: str) -> None:
        self._worker = worker_payment_id


class FileJournal:
    """`path` holds an unsettled payment; beside it lies the worker's payment ID of last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worker = path.with_name("last-worker.json")

    def load(self) -> Transaction | None:
        """Raises `UtbenchError` rather than forget a payment that it cannot read."""
        try:
            data = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._unreadable() from error
        if data.get("schema") != SCHEMA:
            raise UtbenchError(f"{self._path} was written by a newer utbench.", "Use that version, or a new --home.")
        try:
            return Transaction.from_json(data["transaction"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable() from error

    def save(self, transaction: Transaction | None) -> None:
        if transaction is not None:
            save_json(self._path, {"schema": SCHEMA, "transaction": transaction.to_json()})
        elif self._path.exists():
            self._path.unlink()
            sync_folder(self._path.parent)

    def last_worker(self) -> str:
        """A convenience: a file that cannot be read counts as none."""
        try:
            return str(json.loads(self._worker.read_text("utf-8"))["worker_payment_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def remember(self, worker_payment_id: str) -> None:
        save_json(self._worker, {"worker_payment_id": worker_payment_id})

    def _unreadable(self) -> UtbenchError:
        return UtbenchError(
            f"{self._path} cannot be read, and may hold a payment that is not settled.",
            "Compare it with the host's ledger, then delete the file.",
        )
