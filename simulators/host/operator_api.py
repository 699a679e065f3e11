"""`/sim`: what the world may see and move. Answers only to this computer, and never holds a card or a key."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from devices.clock import Clock
from simulators.host.faults import Fault, Faults, Leg, What
from simulators.host.ledger import Entry, voucher_account
from simulators.host.people import PEOPLE
from simulators.host.problems import Problem, documented
from terminal.contract import TransactionId  # noqa: TC001 - FastAPI reads the annotations

if TYPE_CHECKING:
    import datetime as dt

    from simulators.host.store import Store


class WorldClock(Clock, Protocol):
    """Business time that the world may move."""

    def set(self, at: dt.datetime) -> None: ...


class ClockBody(BaseModel):
    at: AwareDatetime


class FaultBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    leg: Leg
    what: What
    count: Annotated[int, Field(ge=1, le=1000)] = 1
    seconds: Annotated[float, Field(ge=0, le=600)] = 0.0


class VoucherBody(BaseModel):
    recipient: str
    name: str
    program: str
    program_name: str
    balance_won: int


class PaymentBody(BaseModel):
    """`answer` and `reversal` are the stored answers, null where there is none."""

    transaction_id: str
    terminal_no: str
    outcome: str
    at: str
    recipient: str
    institution: str
    program: str
    worker: str
    means: str
    kind: str
    service_date: str
    reason: str
    amount_won: int
    approval_no: str
    answer: dict[str, Any] | None
    reversal: dict[str, Any] | None


def operator_router(store: Store, clock: WorldClock, faults: Faults) -> APIRouter:
    router = APIRouter(
        prefix="/sim",
        tags=["world"],
        dependencies=[Depends(_this_computer)],
        responses=documented(HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY),
    )

    @router.get("/clock")
    def clock_now() -> ClockBody:
        return ClockBody(at=clock.now())

    @router.put("/clock")
    def clock_set(body: ClockBody) -> ClockBody:
        clock.set(body.at)
        return ClockBody(at=clock.now())

    @router.get("/ledger")
    def entries(
        after: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
    ) -> list[Entry]:
        with store.transaction() as books:
            return list(books.entries(after, limit))

    @router.get("/vouchers")
    def vouchers() -> list[VoucherBody]:
        with store.transaction() as books:
            balances = books.balances()
        return [
            VoucherBody(
                recipient=one.recipient,
                name=PEOPLE.name(one.recipient),
                program=one.program,
                program_name=PEOPLE.programs[one.program],
                balance_won=balances.get(voucher_account(one.recipient, one.program), 0),
            )
            for one in PEOPLE.vouchers
        ]

    @router.get("/payments/{transaction_id}", responses=documented(HTTPStatus.NOT_FOUND))
    def payment(transaction_id: TransactionId) -> PaymentBody:
        with store.transaction() as books:
            found = books.payment(transaction_id)
        if not found:
            raise Problem(HTTPStatus.NOT_FOUND, "No request with that transaction id has arrived.")
        stored = {
            name: json.loads(text) if text else None
            for name, text in (("answer", found.answer), ("reversal", found.reversal))
        }
        return PaymentBody.model_validate({**asdict(found), **stored, "outcome": found.outcome})

    _add_faults(router, faults)
    return router


def _add_faults(router: APIRouter, faults: Faults) -> None:
    @router.post("/faults", status_code=HTTPStatus.NO_CONTENT)
    def plant(body: FaultBody) -> None:
        faults.plant(Fault(body.leg, body.what, body.count, body.seconds))

    @router.delete("/faults", status_code=HTTPStatus.NO_CONTENT)
    def clear() -> None:
        faults.clear()


def _this_computer(request: Request) -> None:
    host = request.client.host if request.client else ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near:
        raise Problem(HTTPStatus.FORBIDDEN, "The world is run from the computer that it runs on.")
