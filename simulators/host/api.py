"""The host over HTTP: three endpoints for terminals, `/sim` for whoever runs the world.

A terminal's request is verified before anything else is read, its nonce is used up in the transaction
that also does what it asks, and the answer leaves after the commit.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader

from simulators.host import core, problems
from simulators.host.faults import serve_with
from simulators.host.operator_api import operator_router
from simulators.host.problems import Problem, documented
from simulators.host.signatures import NONCE_KEPT_S, BadSignature, Signed, verify
from terminal.contract import (
    LOOKUP_PATH,
    PAYMENT_PATH,
    REVERSAL_PATH,
    LookupAnswer,
    LookupRequest,
    PaymentAnswer,
    PaymentRequest,
    ReversalAnswer,
    ReversalRequest,
    TransactionId,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import Receive, Scope, Send

    from devices.clock import Clock
    from simulators.host.faults import Faults
    from simulators.host.operator_api import WorldClock
    from simulators.host.store import Store
    from simulators.register import Register

BODY_MAX_BYTES = 16 * 1024  # a request of the contract is far below 1 KiB
_Answer = TypeVar("_Answer", LookupAnswer, PaymentAnswer, ReversalAnswer)
_SIGNATURE = APIKeyHeader(
    name="Signature",
    scheme_name="terminal signature",
    description="RFC 9421 with Signature-Input and Content-Digest: see the terminal's contract.",
    auto_error=False,
)


class HostApp(FastAPI):
    """Meets planted faults outside of everything else, so that no middleware answers for a dropped connection."""

    faults: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await serve_with(self.faults, super().__call__, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _SignedRoute(APIRoute):
    """Verifies before the body is parsed: a stranger learns nothing from a 422."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def verified(request: Request) -> Response:
            _limit(request)
            body = await request.body()
            register: Register = request.app.state.register
            try:
                request.state.signed = verify(register, request.method, request.scope["path"], request.headers, body)
            except BadSignature as error:
                raise _unsigned() from error
            return await handle(request)

        return verified


def create_app(store: Store, register: Register, clock: WorldClock, faults: Faults) -> HostApp:
    """The application over an open `store`, whose vouchers are granted here if they are not yet."""
    core.open_books(store, clock.now())
    app = HostApp(title="utbench voucher host", version="1", docs_url=None, redoc_url=None)
    app.faults = faults
    app.state.register = register
    problems.install(app)
    app.include_router(_business_router(store, clock))
    app.include_router(operator_router(store, clock, faults))

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _signed(request: Request) -> Signed:
    signed: Signed = request.state.signed
    return signed


_Who = Annotated[Signed, Depends(_signed)]
_Key = Annotated[TransactionId, Header(alias="Idempotency-Key")]


def _business_router(store: Store, clock: Clock) -> APIRouter:
    router = APIRouter(
        route_class=_SignedRoute,
        tags=["terminal"],
        dependencies=[Security(_SIGNATURE)],
        responses=documented(
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.LENGTH_REQUIRED,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        ),
    )
    reused = documented(HTTPStatus.CONFLICT)

    @router.post(LOOKUP_PATH)
    def lookup(body: LookupRequest, who: _Who) -> LookupAnswer:
        now = clock.now()
        return _once(store, who, lambda: core.lookup(store, who.terminal, body, now))

    @router.post(PAYMENT_PATH, responses=reused)
    def pay(body: PaymentRequest, who: _Who, key: _Key) -> PaymentAnswer:
        now = clock.now()
        return _once(store, who, lambda: core.pay(store, who.terminal, key, body, now))

    @router.post(REVERSAL_PATH, responses=reused)
    def reverse(body: ReversalRequest, who: _Who, key: _Key) -> ReversalAnswer:
        now = clock.now()
        return _once(store, who, lambda: core.reverse(store, who.terminal, key, body, now))

    return router


def _once(store: Store, who: Signed, act: Callable[[], _Answer]) -> _Answer:
    """One durable transaction for nonce and deed; a refused key writes nothing but uses its nonce up."""
    with store.transaction() as books:
        if not books.use_nonce(who.terminal.terminal_no, who.nonce, who.created, who.created - NONCE_KEPT_S):
            raise _unsigned()
        try:
            return act()
        except core.KeyReused:
            pass
    raise Problem(HTTPStatus.CONFLICT, "This transaction id was already used with another body or by another terminal.")


def _unsigned() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "The request is not signed by a terminal of this host, was changed on its way, is too old or was sent before.",
        {"WWW-Authenticate": "Signature"},
    )


def _limit(request: Request) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise Problem(HTTPStatus.LENGTH_REQUIRED, "Say the body's length.")
    if int(length) > BODY_MAX_BYTES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body is at most {BODY_MAX_BYTES} bytes.")
