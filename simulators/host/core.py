"""What the host decides: plain functions of the store, the request, who asks, and the business time.

One transaction id, once:

    first payment      → approved or declined, stored with its answer
    the same again     → the stored answer, also long after the session (a retry carries the same business fields)
    other fields, or another terminal's id → `KeyReused`, and nothing changes
    reversal           → voids an approval by a counter entry; of an unknown id it leaves a tombstone
    payment after that → `reversed`: a late original never debits

The checks of a lookup stand in `_identify`, those of a payment in `pay` and `_refusal`, in the order
in which a person would want to hear of them. A refusal changes no balance, no counter, no session.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from devices.clock import KST
from devices.profiles import PROFILES
from simulators.host.ledger import TREASURY, Posting, institution_account, voucher_account
from simulators.host.people import PEOPLE
from simulators.host.store import Payment, Session
from terminal import rules
from terminal.codes import CODES, Code
from terminal.contract import LookupAnswer, PaymentAnswer, Receipt, ReversalAnswer, Voucher
from terminal.rules import Refusal

if TYPE_CHECKING:
    from simulators.host.people import People
    from simulators.host.store import Books, Store
    from simulators.register import TerminalCard
    from terminal.contract import LookupRequest, PaymentRequest, ReversalRequest

APPROVAL_BASE = 500_000_000_000  # S: the first approval number is 500000000001
REVERSED_MESSAGE = "망취소되었습니다."


class KeyReused(Exception):  # noqa: N818 - HTTP 409: the caller's mistake, not a fault of ours
    """The transaction id is another terminal's, or was used with other business fields."""


def open_books(store: Store, now: dt.datetime, *, people: People = PEOPLE) -> None:
    """Grant every voucher that was not granted yet; harmless when the books are open already."""
    with store.transaction() as books:
        granted = books.balances()
        for voucher in people.vouchers:
            account = voucher_account(voucher.recipient, voucher.program)
            if account not in granted:
                books.post(Posting(now.astimezone(KST), account, "grant", TREASURY, account, voucher.granted_won))


def lookup(
    store: Store, terminal: TerminalCard, request: LookupRequest, now: dt.datetime, *, people: People = PEOPLE
) -> LookupAnswer:
    """Identify the recipient and open a voucher session of 300 s, or decline and open none."""
    found = _identify(terminal, request, now, people)
    if isinstance(found, Refusal):
        return LookupAnswer(outcome="declined", code=found.code, message=CODES[found.code].korean)
    with store.transaction() as books:
        session = Session(
            id=f"S{books.number('session'):08d}",
            terminal_no=terminal.terminal_no,
            recipient=found,
            institution=terminal.institution,
            program=request.program,
            worker=request.worker_payment_id,
            means=request.means,
            opened_at=now.astimezone(KST),
        )
        books.add_session(session)
        balance_won = books.balance(voucher_account(session.recipient, session.program))
    voucher = Voucher(
        session_id=session.id,
        institution=people.name(session.institution),
        recipient=people.name(session.recipient),
        program=request.program,
        balance_won=balance_won,
    )
    return LookupAnswer(outcome="approved", voucher=voucher)


def pay(
    store: Store,
    terminal: TerminalCard,
    transaction_id: str,
    request: PaymentRequest,
    now: dt.datetime,
    *,
    people: People = PEOPLE,
) -> PaymentAnswer:
    """Debit once and answer; the same id again gets the same answer. `KeyReused` where the id is taken."""
    now, digest = now.astimezone(KST), _digest(request)
    with store.transaction() as books:
        known = books.payment(transaction_id)
        if known:
            return _again(known, terminal, digest)
        session = _own_session(books, terminal, request.session_id)
        record = _record(Payment(transaction_id, terminal.terminal_no, now.isoformat(), digest), request, session)
        refusal = (
            _terminal_refusal(terminal, people)
            or rules.skew_refused(request.terminal_time, now)
            or _refusal(books, session, request, now)
        )
        if refusal:
            answer = PaymentAnswer(outcome="declined", code=refusal.code, message=CODES[refusal.code].korean)
        else:
            record = _debit(books, record, now)
            answer = PaymentAnswer(outcome="approved", receipt=_receipt(books, record, people))
        books.save_payment(replace(record, answer=answer.model_dump_json()))
        return answer


def reverse(
    store: Store, terminal: TerminalCard, transaction_id: str, request: ReversalRequest, now: dt.datetime
) -> ReversalAnswer:
    """Void what that id did, or forbid what it might still do; repeated, the same answer.

    Neither a wrong clock nor a suspended terminal is a reason to leave a payment in doubt, so
    nothing but another terminal's id is refused (`KeyReused`).
    """
    now = now.astimezone(KST)
    del request  # it holds no business fields
    with store.transaction() as books:
        known = books.payment(transaction_id) or Payment(transaction_id, terminal.terminal_no, now.isoformat())
        if known.terminal_no != terminal.terminal_no:
            raise KeyReused
        if known.reversal:
            return ReversalAnswer.model_validate_json(known.reversal)
        balance_won = _void(books, known, now) if known.approval_no else None
        answer = ReversalAnswer(outcome="reversed", message=REVERSED_MESSAGE, balance_won=balance_won)
        books.save_payment(replace(known, reversal=answer.model_dump_json()))
        return answer


def _terminal_refusal(terminal: TerminalCard, people: People) -> Refusal | None:
    usable = terminal.registered and terminal.model in PROFILES and people.institution(terminal.institution)
    return None if usable else Refusal(Code.TERMINAL, "0304")


def _identify(terminal: TerminalCard, request: LookupRequest, now: dt.datetime, people: People) -> str | Refusal:
    """The recipient's id, if everything about this lookup is in order."""
    early = (
        _terminal_refusal(terminal, people)
        or rules.skew_refused(request.terminal_time, now)
        or _means_refusal(terminal, request, people)
    )
    if early:
        return early
    card = people.card(request.card)
    if not card or card.lost:
        return Refusal(Code.CARD, "card [A]")
    voucher = people.voucher(card.recipient, request.program)
    if not voucher:
        return Refusal(Code.PROGRAM, "2206")
    if terminal.institution not in voucher.institutions:
        return Refusal(Code.CONTRACT, "2207")
    worker = people.worker(request.worker_payment_id)
    if not worker or worker.institution != terminal.institution:
        return Refusal(Code.WORKER, "0273")
    return voucher.recipient


def _means_refusal(terminal: TerminalCard, request: LookupRequest, people: People) -> Refusal | None:
    if request.program not in people.programs:
        return Refusal(Code.PROGRAM, "2206")
    if request.means == "qr" and not PROFILES[terminal.model].camera:
        return Refusal(Code.MEANS, "QR [A]")
    # any other means opens a session by a recipient's approval alone, and none is on record
    return Refusal(Code.APPROVAL, "R2") if request.means != "card" else None


def _own_session(books: Books, terminal: TerminalCard, session_id: str) -> Session | None:
    session = books.session(session_id)
    mine = session and (session.terminal_no, session.institution) == (terminal.terminal_no, terminal.institution)
    return session if mine else None


def _refusal(books: Books, session: Session | None, request: PaymentRequest, now: dt.datetime) -> Refusal | None:
    if not session:
        return Refusal(Code.SESSION, "R1")
    balance_won = books.balance(voucher_account(session.recipient, session.program))
    return (
        rules.session_refused(session.opened_at, now)
        or _kind_refusal(request, now.date())
        or rules.amount_refusal(request.amount_won, balance_won)
    )


def _kind_refusal(request: PaymentRequest, today: dt.date) -> Refusal | None:
    if request.kind == "normal":
        if request.service_date is not None:
            return Refusal(Code.DATE, "R5")
        return Refusal(Code.REASON, "R4") if request.reason is not None else None
    if request.service_date is None:
        return Refusal(Code.DATE, "R5")
    return rules.retro_allowed(request.service_date, request.reason or "", today)


def _debit(books: Books, payment: Payment, now: dt.datetime) -> Payment:
    account = voucher_account(payment.recipient, payment.program)
    creditor = institution_account(payment.institution)
    books.post(Posting(now, payment.transaction_id, "payment", account, creditor, payment.amount_won))
    return replace(
        payment,
        approval_no=str(APPROVAL_BASE + books.number("approval")),
        service_date=payment.service_date or now.date().isoformat(),
    )


def _receipt(books: Books, payment: Payment, people: People) -> Receipt:
    return Receipt(
        institution=people.name(payment.institution),
        recipient=people.name(payment.recipient),
        approval_no=payment.approval_no,
        service_date=dt.date.fromisoformat(payment.service_date),
        amount_won=payment.amount_won,
        balance_won=books.balance(voucher_account(payment.recipient, payment.program)),
    )


def _void(books: Books, payment: Payment, now: dt.datetime) -> int:
    account = voucher_account(payment.recipient, payment.program)
    debtor = institution_account(payment.institution)
    books.post(Posting(now, payment.transaction_id, "reversal", debtor, account, payment.amount_won))
    return books.balance(account)


def _again(known: Payment, terminal: TerminalCard, digest: str) -> PaymentAnswer:
    if known.terminal_no != terminal.terminal_no or (known.digest and known.digest != digest):
        raise KeyReused
    if known.reversal:
        return PaymentAnswer(outcome="reversed", code=Code.REVERSED, message=CODES[Code.REVERSED].korean)
    return PaymentAnswer.model_validate_json(known.answer)


def _record(payment: Payment, request: PaymentRequest, session: Session | None) -> Payment:
    payment = replace(
        payment,
        session_id=request.session_id,
        kind=request.kind,
        service_date=request.service_date.isoformat() if request.service_date else "",
        reason=request.reason or "",
        amount_won=request.amount_won,
    )
    if not session:
        return payment
    return replace(
        payment,
        recipient=session.recipient,
        institution=session.institution,
        program=session.program,
        worker=session.worker,
        means=session.means,
    )


def _digest(request: PaymentRequest) -> str:
    """Of the business fields alone: a retry has another time, attempt number and signature."""
    fields = request.model_dump(mode="json", exclude={"terminal_time", "attempt"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
