"""The life of one payment at the terminal: decided, durable, sent, settled (R19).

    PAYING     saved, then sent; sent again with the same id after 1, 2, 4, 8 and 16 s without an answer
    REVERSING  saved, then reversed again and again until the host acknowledges

Any answer ends PAYING. Power loss at any moment leaves the journal at the last recovery point; at
power-on an unanswered payment goes straight to REVERSING. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from terminal.codes import Code
from terminal.flow import code_notice, drop
from terminal.state import (
    After,
    Due,
    Log,
    Moment,
    Notice,
    Paid,
    Pay,
    Phase,
    Power,
    Reverse,
    Reversed,
    Save,
    State,
    Step,
    Timer,
    Transaction,
    Unsaved,
)

if TYPE_CHECKING:
    from terminal.contract import PaymentAnswer

RETRY_AT_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # R19, counted from the first attempt
REVERSAL_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # the last one again and again


def begin(state: State, moment: Moment) -> Step:
    """Every question is answered: make the payment durable, then send it."""
    answers = state.answers
    transaction = Transaction(
        id=moment.fresh,
        session_id=answers["voucher"].session_id,
        kind=answers.get("kind", "normal"),
        amount_won=answers["amount_won"],
        service_date=answers.get("service_date"),
        reason=answers.get("reason"),
        first_sent_s=moment.transport_s,
    )
    log = Log("payment", {"id": transaction.id, "payment_kind": transaction.kind, "amount_won": transaction.amount_won})
    return replace(state, pending=transaction), (Save(transaction), log, Pay(transaction))


def paid(state: State, event: Paid, moment: Moment) -> Step:
    transaction = state.pending
    if transaction is None or transaction.id != event.transaction_id or transaction.phase is not Phase.PAYING:
        return state, ()
    if state.power is not Power.ON:
        return state, ()  # its page is gone: it came across a power-off, and is reversed once the terminal is up
    if event.answer is None:
        return _try_again(state, transaction, moment)
    state = replace(state, pending=None)
    log = Log("paid", {"id": transaction.id, "outcome": event.answer.outcome, "code": event.answer.code})
    return _settled(state, event.answer), (Save(None), log)


def _settled(state: State, answer: PaymentAnswer) -> State:
    if answer.outcome == "approved" and answer.receipt is not None:
        return state.answer("receipt", answer.receipt)
    then = "program" if answer.code == Code.SESSION or answer.outcome == "reversed" else "action"
    return replace(state, notice=code_notice(answer.code, answer.message, then))


def _try_again(state: State, transaction: Transaction, moment: Moment) -> Step:
    if transaction.attempt > len(RETRY_AT_S):
        return reverse(state)
    due_s = transaction.first_sent_s + RETRY_AT_S[transaction.attempt - 1]
    waiting = replace(transaction, attempt=transaction.attempt + 1)
    retry = After(max(0.0, due_s - moment.transport_s), Due(Timer.RETRY, transaction.id), business=False)
    log = Log("no-answer", {"id": transaction.id, "attempt": transaction.attempt})
    return replace(state, pending=waiting), (log, retry)


def unsaved(state: State, event: Unsaved) -> Step:
    """Nothing was sent, so nothing is owed; a reversal goes on without its newer note, the older one says enough."""
    transaction = state.pending
    if transaction is None or transaction.id != event.transaction_id or transaction.phase is not Phase.PAYING:
        return state, ()
    notice = Notice("단말기에 저장할 수 없어 결제하지 않았습니다. 저장 공간을 확인해 주십시오.", then="action")
    return replace(state, pending=None, notice=notice), (Log("unsaved", {"id": transaction.id}),)


def reverse(state: State) -> Step:
    """The outcome stays unknown: void the payment, whatever the host made of it."""
    if state.pending is None:
        return state, ()
    transaction = replace(state.pending, phase=Phase.REVERSING, attempt=1)
    state = replace(state, pending=transaction, answers={}, draft={}, notice=None)
    return state, (Save(transaction), Log("reversing", {"id": transaction.id}), Reverse(transaction))


def reversed_(state: State, event: Reversed) -> Step:
    transaction = state.pending
    if transaction is None or transaction.id != event.transaction_id or transaction.phase is not Phase.REVERSING:
        return state, ()
    if event.answer is None:
        pause_s = REVERSAL_PAUSES_S[min(transaction.attempt, len(REVERSAL_PAUSES_S)) - 1]
        waiting = replace(transaction, attempt=transaction.attempt + 1)
        again = After(pause_s, Due(Timer.REVERSE, transaction.id), business=False)
        return replace(state, pending=waiting), (again,)
    notice = Notice(
        f"결제 결과를 확인하지 못해 {transaction.amount_won:,}원 결제를 취소(망취소)했습니다. 다시 결제해 주십시오.",
        Code.HOST_UNREACHED,
    )
    state = replace(state.at_first_page(), pending=None, notice=notice)
    return state, (Save(None), Log("reversed", {"id": transaction.id}))


def timer(state: State, due: Due) -> Step:
    """A pause is over: send what is still unanswered."""
    transaction = state.pending
    match due.timer:
        case Timer.RETRY if transaction and transaction.id == due.about and transaction.phase is Phase.PAYING:
            return state, (Pay(transaction),)
        case Timer.REVERSE if transaction and transaction.id == due.about and transaction.phase is Phase.REVERSING:
            return state, (Reverse(transaction),)
        case Timer.SESSION if _session(state) == due.about and transaction is None and "receipt" not in state.answers:
            notice = code_notice(Code.SESSION, "", "program")
            return replace(drop(state, "program"), menu="", notice=notice), (Log("session-closed"),)
    return state, ()


def _session(state: State) -> str | None:
    voucher = state.answers.get("voucher")
    return voucher.session_id if voucher else None
