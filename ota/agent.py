"""The update of one terminal as a state machine without I/O: events in, the next effect out.

    identify ─▸ preflight ─▸ poll ─▸ resolve ─▸ download ─▸ transfer ─▸ read back ─▸ mark test ─▸ restart
             ─▸ verify ─▸ confirm ─▸ report ─▸ done

`advance` holds all transitions. The state is saved before each effect is performed, and an update that
was broken off goes on from what the terminal itself says: an image that already runs is verified, one
that lies in the other slot is not sent again. A restart that brings back the old image is a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ota.plan import Kind, Plan, Rules, decide, preflight

if TYPE_CHECKING:
    from devices.groups import Identity, SlotState, Status
    from ota.ddi import Deployment
    from ota.trust import TufTarget
    from ota.verify import Verification


class Step(StrEnum):
    """Also the effects: to be in a step is to have its effect performed next."""

    IDENTIFY = "identify"
    PREFLIGHT = "preflight"
    POLL = "registration"
    RESOLVE = "plan"
    DOWNLOAD = "download"
    TRANSFER = "transfer"
    READ_BACK = "read-back"
    MARK = "mark"
    RESTART = "restart"
    VERIFY = "verify"
    ROLL_BACK = "roll-back"
    GIVE_WAY = "give-way"
    CONFIRM = "confirm"
    REPORT = "report"
    DONE = "done"


class Outcome(StrEnum):
    UPDATED = "updated"
    UP_TO_DATE = "up-to-date"
    NOTHING = "nothing-assigned"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Update:
    """Everything that must survive a killed agent. `digest` is the image's hash as SMP names it (hex)."""

    step: Step = Step.IDENTIFY
    serial: str = ""
    model: str = ""
    controller_id: str = ""
    server: str = ""
    registered: bool | None = None
    from_version: int = 0
    to_version: int = 0
    action_id: str = ""
    action_url: str = ""
    target_name: str = ""
    digest: str = ""
    overrides: tuple[str, ...] = ()
    reason: str = ""
    outcome: Outcome | None = None
    verified: bool = False


# -- events: what came of the effect


@dataclass(frozen=True, slots=True)
class Identified:
    identity: Identity
    status: Status
    slots: tuple[SlotState, ...]
    saved: Update | None


@dataclass(frozen=True, slots=True)
class Checked:
    """`free_bytes` of disk where downloads go."""

    status: Status
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Polled:
    deployment: Deployment | None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    target: TufTarget
    slots: tuple[SlotState, ...]


@dataclass(frozen=True, slots=True)
class Downloaded:
    """`digest` is the image's own hash; `slots` as the terminal has them now."""

    digest: str
    slots: tuple[SlotState, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The effect was performed; nothing further to say."""


@dataclass(frozen=True, slots=True)
class SlotsRead:
    """After writing, or after a restart."""

    slots: tuple[SlotState, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    result: Verification
    slots: tuple[SlotState, ...]


Event = Identified | Checked | Polled | Resolved | Downloaded | Done | SlotsRead | Verified


def advance(update: Update, event: Event, rules: Rules) -> Update:
    """The state after `event`; its `step` is the effect to perform next. Raises `Refused` where the plan ends."""
    match update.step, event:
        case Step.IDENTIFY, Identified():
            return _identified(update, event, rules)
        case Step.PREFLIGHT, Checked(status, free_bytes):
            return replace(update, step=Step.POLL, overrides=preflight(update.model, status, free_bytes, rules))
        case Step.POLL, Polled(deployment, cancelled):
            return _polled(update, deployment, cancelled=cancelled)
        case Step.RESOLVE, Resolved(target, slots):
            return _planned(update, decide(update.from_version, target, slots, rules), target, rules)
        case Step.DOWNLOAD, Downloaded(digest, slots):
            return replace(update, step=_place(digest, slots), digest=digest)
        case Step.GIVE_WAY, SlotsRead(slots):
            return replace(update, step=_place(update.digest, slots))
        case Step.TRANSFER, Done():
            return replace(update, step=Step.READ_BACK)
        case Step.READ_BACK, SlotsRead(slots):
            if _other(slots) == update.digest:
                return replace(update, step=Step.MARK)
            return _failed(update, "what the terminal reads back is not the image that was sent")
        case Step.MARK, Done():
            return replace(update, step=Step.RESTART)
        case Step.RESTART, SlotsRead(slots):
            if _running(slots) == update.digest:
                return replace(update, step=Step.VERIFY)
            return _failed(
                update, "after the restart the terminal runs the old image: the new one was refused or reverted"
            )
        case Step.VERIFY, Verified(result, slots):
            return _verified(update, result, slots)
        case Step.ROLL_BACK, SlotsRead():
            return replace(update, step=Step.REPORT)
        case Step.CONFIRM, SlotsRead(slots):
            if any(slot.active and slot.confirmed and slot.digest.hex() == update.digest for slot in slots):
                return replace(update, step=Step.REPORT)
            return _failed(update, "the terminal did not keep the confirmation")
        case Step.REPORT, Done():
            return replace(update, step=Step.DONE)
    raise AssertionError(f"{type(event).__name__} in step {update.step}: advance and runner disagree")


def _identified(update: Update, event: Identified, rules: Rules) -> Update:
    """Go on with a saved update of this terminal where what it runs or what is owed shows that it got that far."""
    identity, saved = event.identity, event.saved
    if saved is not None and saved.server != update.server:
        saved = None  # begun with another server: what it wanted is not this one's affair
    if saved is not None and not rules.dry_run:
        if saved.step is Step.REPORT:
            return saved
        if saved.digest and _running(event.slots) == saved.digest:
            return replace(saved, step=Step.VERIFY)
    known = saved if saved is not None and not rules.dry_run else update
    return replace(
        known,
        step=Step.PREFLIGHT,
        serial=identity.serial,
        model=identity.model,
        controller_id=identity.controller_id,
        from_version=identity.payment_version,
        registered=identity.registered,
        outcome=None,
        verified=False,
    )


def _polled(update: Update, deployment: Deployment | None, *, cancelled: bool) -> Update:
    if cancelled:
        return replace(update, step=Step.DONE, outcome=Outcome.CANCELLED, reason="the server cancelled the update")
    if deployment is None:
        return replace(update, step=Step.DONE, outcome=Outcome.NOTHING, reason="the server has no update for it")
    return replace(update, step=Step.RESOLVE, action_id=deployment.action_id, action_url=deployment.url)


def _planned(update: Update, plan: Plan, target: TufTarget, rules: Rules) -> Update:
    update = replace(update, target_name=target.name, to_version=target.payment_version, reason=plan.sentence)
    there = plan.kind is Kind.UP_TO_DATE
    if rules.dry_run:
        return replace(update, step=Step.DONE, outcome=Outcome.UP_TO_DATE if there else Outcome.PLANNED)
    if there:
        return replace(update, step=Step.VERIFY, digest=plan.running)
    return replace(update, step=Step.DOWNLOAD, overrides=(*update.overrides, *plan.overrides))


def _place(digest: str, slots: tuple[SlotState, ...]) -> Step:
    """How far the terminal already is with that image."""
    if _running(slots) == digest:
        return Step.VERIFY
    if any(slot.active and not slot.confirmed for slot in slots):
        return Step.GIVE_WAY  # another image is on trial, and slot 1 holds the way back: let it go back first
    return Step.MARK if _other(slots) == digest else Step.TRANSFER


def _verified(update: Update, result: Verification, slots: tuple[SlotState, ...]) -> Update:
    if not result.proves(update.to_version):
        failed = replace(update, outcome=Outcome.FAILED, reason=result.explain(update.to_version))
        unconfirmed = any(slot.active and not slot.confirmed for slot in slots)
        return replace(failed, step=Step.ROLL_BACK if unconfirmed else Step.REPORT)
    same = update.from_version == update.to_version
    outcome = Outcome.UP_TO_DATE if same else Outcome.UPDATED
    return replace(update, step=Step.CONFIRM, outcome=outcome, verified=True, reason=result.explain(update.to_version))


def _failed(update: Update, reason: str) -> Update:
    return replace(update, step=Step.REPORT, outcome=Outcome.FAILED, verified=False, reason=reason)


def _running(slots: tuple[SlotState, ...]) -> str:
    return next((slot.digest.hex() for slot in slots if slot.active), "")


def _other(slots: tuple[SlotState, ...]) -> str:
    return next((slot.digest.hex() for slot in slots if not slot.active), "")
