"""The proof of an update: the payment version that the running terminal names, and the one that its own
screen shows under 메뉴 → 단말 정보 (the update guide's three steps).
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.clock import monotonic_s
from devices.errors import RemoteError, UtbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.groups import Screen
    from ota.target import Target

MENU, INFO = "메뉴", "단말 정보"
_VERSION = re.compile(r"결제버전\D{0,3}(\d{3,5})")
START_TIMEOUT_S = 60.0  # the registration check at power-on takes 15 to 20 s
PAUSE_S = 0.05
WAYS_BACK = 8


@dataclass(frozen=True, slots=True)
class Verification:
    """`running` is what the terminal says it runs, `shown` what its screen says; None: the page shows no number."""

    running: int
    shown: int | None

    def proves(self, expected: int) -> bool:
        return self.running == expected == self.shown

    def explain(self, expected: int) -> str:
        if self.proves(expected):
            return f"it runs {self.running}, and its screen says so"
        if self.running != expected:
            return f"it runs {self.running}, not {expected}"
        return f"it says that it runs {self.running}, but 단말 정보 shows {self.shown or 'no version'}"


def verify(target: Target, meanwhile: Callable[[], None] = lambda: None) -> Verification:
    """Read both; the terminal is left on its first page. `UtbenchError` while a payment is open on it.

    `meanwhile` is called while the terminal starts; it may raise to end the wait.
    """
    _wait_until_started(target, meanwhile)
    if target.status().busy:
        raise UtbenchError(
            f"A payment is open on the terminal at {target.port}.",
            "Finish or cancel it, then run the same command again.",
        )
    running = target.identity().payment_version
    _open_menu(target)
    shown = _shown(target.touch(INFO))
    target.press("cancel")
    target.press("cancel")
    return Verification(running, shown)


def _wait_until_started(target: Target, meanwhile: Callable[[], None]) -> None:
    until = monotonic_s() + START_TIMEOUT_S
    pause = threading.Event()
    while (power := target.status().power) != "on":
        if power == "off":
            raise UtbenchError(f"The terminal at {target.port} is switched off.", "Switch it on and run this again.")
        if monotonic_s() > until:
            raise UtbenchError(
                f"The terminal at {target.port} does not finish starting.", "Look at its screen, then run this again."
            )
        meanwhile()
        pause.wait(PAUSE_S)


def _open_menu(target: Target) -> None:
    """From wherever it stands, back to the first page and into the menu."""
    for _ in range(WAYS_BACK):
        if _works(lambda: target.touch(MENU)):
            return
        target.press("cancel")
    raise UtbenchError(
        f"The terminal at {target.port} does not get to its menu.", "Look at its screen, then run this again."
    )


def _works(touch: Callable[[], object]) -> bool:
    try:
        touch()
    except RemoteError:
        return False
    return True


def _shown(screen: Screen) -> int | None:
    text = screen.fields.get("payment_version", "")
    match = re.fullmatch(r"\d{3,5}", text) or _VERSION.search(screen.text)
    return int(match[match.lastindex or 0]) if match else None
