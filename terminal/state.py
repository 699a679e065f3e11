"""What a terminal is at one moment, what can happen to it, and what it wants done: values only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terminal.contract import LookupAnswer, PaymentAnswer, ReversalAnswer
    from terminal.release import Release

Answers = Mapping[str, Any]


class Power(StrEnum):
    OFF = "off"
    BOOTING = "booting"
    ON = "on"


class Phase(StrEnum):
    """The named recovery points of a transaction; each is durable before the host hears of it."""

    PAYING = "paying"
    REVERSING = "reversing"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One payment, decided but not settled. `first_sent_s` is transport time, meaningless after a boot."""

    id: str
    session_id: str
    kind: str
    amount_won: int
    service_date: dt.date | None = None
    reason: str | None = None
    phase: Phase = Phase.PAYING
    attempt: int = 1
    first_sent_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "session_id": self.session_id,
            "kind": self.kind,
            "amount_won": self.amount_won,
            "service_date": self.service_date.isoformat() if self.service_date else None,
            "reason": self.reason,
            "phase": self.phase.value,
            "attempt": self.attempt,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Transaction:
        """Raises `KeyError`, `TypeError` or `ValueError` for anything that `to_json` did not make."""
        date = data["service_date"]
        return cls(
            id=str(data["id"]),
            session_id=str(data["session_id"]),
            kind=str(data["kind"]),
            amount_won=int(data["amount_won"]),
            service_date=dt.date.fromisoformat(date) if date else None,
            reason=data["reason"],
            phase=Phase(data["phase"]),
            attempt=int(data["attempt"]),
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that wants 확인. `then` is the field whose answer, with all later ones, is dropped afterwards."""

    text: str
    code: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """`answers` holds what is settled, `draft` what is being typed or chosen on the open page.

    `last_worker` is the payment ID with which a voucher was opened last.
    """

    model: str
    terminal_no: str
    serial: str
    release: Release
    power: Power = Power.OFF
    registered: bool = False
    registration_note: str = ""
    menu: str = ""
    answers: Answers = field(default_factory=dict)
    draft: Mapping[str, str] = field(default_factory=dict)
    focus: int = 0
    scroll: int = 0
    notice: Notice | None = None
    pending: Transaction | None = None
    last_worker: str = ""

    def answer(self, name: str, value: object) -> State:
        return replace(self, answers={**self.answers, name: value})

    def at_first_page(self) -> State:
        return replace(self, answers={}, draft={}, focus=0, scroll=0, notice=None, menu="")


@dataclass(frozen=True, slots=True)
class Moment:
    """What an event brings along, so that the core needs no clock and no chance of its own.

    `now` is business time (KST), `transport_s` real seconds, `fresh` 32 hexadecimal digits never used before.
    """

    now: dt.datetime
    transport_s: float
    fresh: str


# -- events


@dataclass(frozen=True, slots=True)
class Act:
    """Something on the screen was touched: its action, as in `terminal.fields.Do`."""

    action: str


@dataclass(frozen=True, slots=True)
class KeyPress:
    key: str


@dataclass(frozen=True, slots=True)
class CardRead:
    """`number` is card data: it goes to the host and nowhere else."""

    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registered:
    ok: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """`answer` None: the host was not reached, or said nothing that can be read."""

    token: str
    answer: LookupAnswer | None


@dataclass(frozen=True, slots=True)
class Paid:
    transaction_id: str
    answer: PaymentAnswer | None


@dataclass(frozen=True, slots=True)
class Reversed:
    transaction_id: str
    answer: ReversalAnswer | None


@dataclass(frozen=True, slots=True)
class Unsaved:
    """The journal could not be written; the payment was not sent."""

    transaction_id: str


class Timer(StrEnum):
    RETRY = "retry"
    REVERSE = "reverse"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Due:
    """A timer that `After` set: `about` names the transaction or session it was set for."""

    timer: Timer
    about: str


Event = Act | KeyPress | CardRead | Registered | LookedUp | Paid | Reversed | Unsaved | Due


# -- effects


@dataclass(frozen=True, slots=True)
class Register:
    """Ask whether this terminal is registered; comes back as `Registered`."""


@dataclass(frozen=True, slots=True)
class Lookup:
    token: str
    program: str
    means: str
    card: str = field(repr=False)
    worker_payment_id: str = ""


@dataclass(frozen=True, slots=True)
class Save:
    """Make the journal say this, durably, before any later effect of the same step. None: nothing is open."""

    transaction: Transaction | None


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep the worker's payment ID for the next time, across power and updates."""

    worker_payment_id: str


@dataclass(frozen=True, slots=True)
class Pay:
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Reverse:
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class After:
    """Bring `due` after `delay_s` of business time, or of real time where `business` is False."""

    delay_s: float
    due: Due
    business: bool


@dataclass(frozen=True, slots=True)
class Log:
    """An event for the device's log; never holds card data."""

    kind: str
    about: Mapping[str, Any] = field(default_factory=dict)


Effect = Register | Lookup | Save | Remember | Pay | Reverse | After | Log
Step = tuple[State, tuple[Effect, ...]]
