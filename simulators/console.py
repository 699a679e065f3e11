"""Lines on the port that are no frames: a console for people, so that a plain terminal program is useful there."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devices.groups import KEYS
from terminal.session import CannotTouch
from terminal.state import CardRead, KeyPress

if TYPE_CHECKING:
    from simulators.device import SimulatedDevice

HELP = (
    "help             this list",
    "info             model, serial number, releases in both slots",
    "screen           the screen as it stands",
    "press KEY        0-9 ok cancel back next up down f1 f2 menu power",
    "touch LABEL      a button or an item by its text",
    "tap CARD         hold a test card to the reader",
)


class Console:
    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device

    def line(self, text: str) -> None:
        """Answer one typed line; what is no command is ignored, since a line may as well be noise."""
        try:
            words = shlex.split("".join(char for char in text if char.isprintable()))
        except ValueError:
            return
        command = getattr(self, f"_{words[0]}", None) if words and words[0] in _COMMANDS else None
        if command is None:
            if words == ["?"]:
                self._help([])
            return
        try:
            command(words[1:])
        except TimeoutError:
            self._device.say("the terminal is restarting")

    def _help(self, _words: list[str]) -> None:
        for line in HELP:
            self._device.say(line)

    def _info(self, _words: list[str]) -> None:
        state = self._device.session.state
        self._device.say(f"{self._device.profile.name} {state.serial}, terminal {state.terminal_no}")
        for slot in self._device.slots.state():
            flags = " ".join(name for name in ("active", "confirmed", "pending", "permanent") if getattr(slot, name))
            self._device.say(f"slot {slot.slot}: {slot.version} {flags}")

    def _screen(self, _words: list[str]) -> None:
        for line in self._device.session.lcd.lines:
            self._device.say(line.rstrip())

    def _press(self, words: list[str]) -> None:
        if len(words) == 1 and words[0] in KEYS:
            self._device.session.apply(KeyPress(words[0]))
            self._screen([])
        else:
            self._device.say(HELP[3])

    def _touch(self, words: list[str]) -> None:
        try:
            self._device.session.touch(" ".join(words))
            self._screen([])
        except CannotTouch as error:
            self._device.say(f"cannot touch that: {error}")

    def _tap(self, words: list[str]) -> None:
        number = self._device.card_number(words[0]) if len(words) == 1 else None
        if number is None:
            self._device.say("no such card")
        else:
            self._device.session.apply(CardRead(number))
            self._screen([])


_COMMANDS = frozenset({"help", "info", "screen", "press", "touch", "tap"})
