"""The terminal's line to the voucher host: signed HTTP, and the difference between a refusal and no answer.

An answer that can be read is returned; everything that leaves the outcome unknown (no connection, a
time-out, 5xx, garbage) is None, and the core decides what follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from terminal.codes import Code
from terminal.contract import (
    LOOKUP_PATH,
    PAYMENT_PATH,
    REVERSAL_PATH,
    Answer,
    LookupAnswer,
    LookupRequest,
    PaymentAnswer,
    PaymentRequest,
    ReversalAnswer,
    ReversalRequest,
)

if TYPE_CHECKING:
    import datetime as dt

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from pydantic import BaseModel

    from terminal.state import Lookup, Transaction

CONNECT_TIMEOUT_S = 2.0
REPLY_TIMEOUT_S = 4.0

A = TypeVar("A", bound=Answer)


class Host(Protocol):
    """What the terminal needs of a voucher host. `now` is the terminal's own clock (business time)."""

    def lookup(self, wanted: Lookup, now: dt.datetime) -> LookupAnswer | None: ...

    def pay(self, transaction: Transaction, now: dt.datetime) -> PaymentAnswer | None: ...

    def reverse(self, transaction: Transaction, now: dt.datetime) -> ReversalAnswer | None: ...


class _RefusedUs(Exception):  # noqa: N818 - a 4xx: the host refuses the terminal or the request, not the payment
    pass


class HttpHost:
    """A host at `url`, spoken to as terminal `terminal_no` with its own key. Used by one thread at a time."""

    def __init__(self, url: str, terminal_no: str, key: Ed25519PrivateKey) -> None:
        import requests

        self._url = url.rstrip("/")
        self._terminal_no = terminal_no
        self._key = key
        self._http = requests.Session()
        self._http.trust_env = False  # a terminal knows no proxies

    def lookup(self, wanted: Lookup, now: dt.datetime) -> LookupAnswer | None:
        body = LookupRequest.model_validate(
            {
                "terminal_time": now,
                "program": wanted.program,
                "means": wanted.means,
                "card": wanted.card,
                "worker_payment_id": wanted.worker_payment_id,
            }
        )
        try:
            return self._ask(LOOKUP_PATH, body, LookupAnswer)
        except _RefusedUs:
            return LookupAnswer(outcome="declined", code=Code.TERMINAL)

    def pay(self, transaction: Transaction, now: dt.datetime) -> PaymentAnswer | None:
        body = PaymentRequest.model_validate(
            {
                "session_id": transaction.session_id,
                "terminal_time": now,
                "attempt": transaction.attempt,
                "kind": transaction.kind,
                "amount_won": transaction.amount_won,
                "service_date": transaction.service_date,
                "reason": transaction.reason,
            }
        )
        try:
            answer = self._ask(PAYMENT_PATH, body, PaymentAnswer, transaction.id)
            if answer is not None and answer.outcome == "approved":
                return answer if answer.receipt and answer.receipt.amount_won == transaction.amount_won else None
            return answer
        except _RefusedUs:
            if transaction.attempt > 1:
                return None  # an earlier attempt may have been debited, so a refusal of this one settles nothing
            return PaymentAnswer(outcome="declined", code=Code.TERMINAL)

    def reverse(self, transaction: Transaction, now: dt.datetime) -> ReversalAnswer | None:
        body = ReversalRequest(terminal_time=now, attempt=transaction.attempt)
        try:
            answer = self._ask(REVERSAL_PATH, body, ReversalAnswer, transaction.id)
        except _RefusedUs:
            return None
        return answer if answer is not None and answer.outcome == "reversed" else None

    def _ask(self, path: str, body: BaseModel, kind: type[A], transaction_id: str | None = None) -> A | None:
        import requests

        from terminal.signing import sign

        url = self._url + path
        data = body.model_dump_json().encode()
        headers = sign("POST", url, data, self._key, self._terminal_no, idempotency_key=transaction_id)
        try:
            reply = self._http.post(
                url, data=data, headers=headers, timeout=(CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S), allow_redirects=False
            )
            if 400 <= reply.status_code < 500:
                raise _RefusedUs
            return kind.model_validate_json(reply.content) if reply.status_code == 200 else None
        except (requests.RequestException, ValueError):
            return None


class NoHost:
    """A terminal that is not connected to any host: every question stays unanswered (0104)."""

    def lookup(self, wanted: Lookup, now: dt.datetime) -> LookupAnswer | None:
        del wanted, now
        return None

    def pay(self, transaction: Transaction, now: dt.datetime) -> PaymentAnswer | None:
        del transaction, now
        return None

    def reverse(self, transaction: Transaction, now: dt.datetime) -> ReversalAnswer | None:
        del transaction, now
        return None
