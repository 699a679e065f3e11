"""What a terminal and the voucher host say to each other: JSON bodies over signed HTTP.

Every business answer is HTTP 200 with `outcome`; 401 is a bad signature, 409 a transaction id used
again with another body, 422 a malformed body (problem+json). 5xx, garbage and time-outs mean that
the outcome is unknown. Won are integers, times aware, dates KST dates.

Requests are signed as RFC 9421 says, with the terminal's own Ed25519 key: label `ut`, components
`@method`, `@path`, `content-digest` (RFC 9530, sha-256) and, on payments and reversals,
`idempotency-key`; parameters `created`, `nonce` (fresh on every attempt) and `keyid` (terminal_no).
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SIGNATURE_LABEL = "ut"
SIGNATURE_MAX_AGE_S = 300
COVERED = ("@method", "@path", "content-digest")
COVERED_WITH_KEY = (*COVERED, "idempotency-key")

LOOKUP_PATH = "/v1/lookups"
PAYMENT_PATH = "/v1/payments"
REVERSAL_PATH = "/v1/reversals"

Won = Annotated[int, Field(ge=0, le=100_000_000)]
CARD_CHARS = 64  # the longest that a card may hold
ShortText = Annotated[str, Field(min_length=1, max_length=CARD_CHARS)]
TransactionId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
PaymentKind = Literal["normal", "retro"]
Means = Literal["card", "qr", "biometric"]


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(BaseModel):
    """`code` is empty on approval; `message` is a Korean sentence that the terminal shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcome: Literal["approved", "declined", "reversed"]
    code: str = ""
    message: str = ""


class LookupRequest(Body):
    """Identify a recipient and open a voucher session. `card` is what the card reader read."""

    terminal_time: AwareDatetime
    program: ShortText
    means: Means
    card: ShortText
    worker_payment_id: ShortText


class Voucher(Body):
    """What the voucher page shows; `session_id` names the session that payments belong to."""

    session_id: ShortText
    institution: str
    recipient: str
    program: str
    balance_won: Won


class LookupAnswer(Answer):
    voucher: Voucher | None = None


class PaymentRequest(Body):
    """One payment of an amount service. `service_date` and `reason` belong to retroactive payments only."""

    session_id: ShortText
    terminal_time: AwareDatetime
    attempt: Annotated[int, Field(ge=1)]
    kind: PaymentKind
    amount_won: Won
    service_date: dt.date | None = None
    reason: ShortText | None = None


class Receipt(Body):
    """What the done page shows."""

    institution: str
    recipient: str
    approval_no: Annotated[str, Field(pattern=r"^\d{12}$")]
    service_date: dt.date
    amount_won: Won
    balance_won: Won


class PaymentAnswer(Answer):
    receipt: Receipt | None = None


class ReversalRequest(Body):
    """Void a payment whose outcome is unknown; an unknown id is remembered, so that a late original is refused."""

    terminal_time: AwareDatetime
    attempt: Annotated[int, Field(ge=1)]


class ReversalAnswer(Answer):
    """Always `reversed`; `balance_won` is the balance afterwards where a payment had been debited."""

    balance_won: Won | None = None
