"""What would happen, and why not: preflight and plan as pure decisions, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from devices.errors import Refused
from devices.profiles import PROFILES

if TYPE_CHECKING:
    from devices.groups import SlotState, Status
    from ota.trust import TufTarget

LEAST_BATTERY = 30  # percent
LEAST_FREE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Rules:
    """What the technician allowed. A downgrade needs its flag and a reason; each despite-flag lifts one preflight."""

    dry_run: bool = False
    allow_downgrade: bool = False
    reason: str = ""
    despite_battery: bool = False
    despite_payment: bool = False
    despite_disk: bool = False


class Kind(StrEnum):
    UP_TO_DATE = "up-to-date"
    UPDATE = "update"
    DOWNGRADE = "downgrade"


@dataclass(frozen=True, slots=True)
class Plan:
    """`sentence` is for people; `running` the hash (hex) of the image that runs; `overrides` what was lifted."""

    kind: Kind
    sentence: str
    running: str = ""
    overrides: tuple[str, ...] = ()


def preflight(model: str, status: Status, free_bytes: int, rules: Rules) -> tuple[str, ...]:
    """The names of the checks that were lifted; raises `Refused` with the first reason that was not."""
    known = PROFILES.get(model)
    if known is None or not known.firmware:
        raise Refused(
            f"{model!r} is no model that is updated over serial.", "This utbench knows the UT-99L, UT-77L and UT-55L."
        )
    battery = status.battery
    faults = (
        (
            battery is not None and battery < LEAST_BATTERY,
            rules.despite_battery,
            "despite-battery",
            f"Its battery is at {battery} %, under {LEAST_BATTERY} %.",
            "Plug it in and wait, or add --despite-battery.",
        ),
        (
            status.busy,
            rules.despite_payment,
            "despite-payment",
            "A payment is in progress on it.",
            "Finish or cancel the payment, or add --despite-payment.",
        ),
        (
            free_bytes < LEAST_FREE_BYTES,
            rules.despite_disk,
            "despite-disk",
            f"Only {free_bytes >> 20} MiB are free where downloads are kept.",
            "Free some room, or add --despite-disk.",
        ),
    )
    for fault, lifted, _name, why, hint in faults:
        if fault and not lifted:
            raise Refused(why, hint)
    return tuple(name for fault, _lifted, name, _why, _hint in faults if fault)


def decide(running_version: int, target: TufTarget, slots: tuple[SlotState, ...], rules: Rules) -> Plan:
    """From what runs and what the publisher signed. Raises `Refused` for a downgrade that was not allowed."""
    wanted = target.payment_version
    active = next((slot for slot in slots if slot.active), None)
    running = active.digest.hex() if active else ""
    if wanted == running_version:
        unconfirmed = active is not None and not active.confirmed
        sentence = f"it runs {wanted}" + (", unconfirmed: it will be verified and kept" if unconfirmed else " already")
        return Plan(Kind.UP_TO_DATE, sentence, running)
    if target.release_counter > running_version:
        sentence = f"{running_version} → {wanted}, {target.size:,} bytes"
        return Plan(Kind.UPDATE, sentence, running)
    if not (rules.allow_downgrade and rules.reason.strip()):
        raise Refused(
            f"The server offers {wanted}, which is older than the {running_version} that runs.",
            "If that is meant, add --allow-downgrade --reason TEXT.",
        )
    sentence = f"downgrade {running_version} → {wanted}, {target.size:,} bytes ({rules.reason.strip()})"
    return Plan(Kind.DOWNGRADE, sentence, running, (f"downgrade: {rules.reason.strip()}",))
