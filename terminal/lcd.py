"""The picture on the screen: a fixed grid of terminal cells, drawn once for every face of the terminal.

Pure. The Textual widget draws it, the SMP `screen` command sends it, the headless mode prints it and
the tests compare it. Width is counted in cells, never with `len`: Hangul takes two.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Led(StrEnum):
    """The lamps of the case: switched on, waiting for somebody else, wants attention."""

    POWER = "power"
    BUSY = "busy"
    ALARM = "alarm"


class Style(StrEnum):
    TITLE = "title"
    LABEL = "label"
    VALUE = "value"
    FOCUS = "focus"
    CHOSEN = "chosen"
    KEY = "key"
    BUTTON = "button"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Span:
    """`width` cells from (`row`, `col`) in a style."""

    row: int
    col: int
    width: int
    style: Style


@dataclass(frozen=True, slots=True)
class Target:
    """Something to touch. `row` is None while it is scrolled out of sight; touching it by name still works."""

    label: str
    action: str
    row: int | None = None
    col: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True)
class Lcd:
    """`lines` are exactly `rows` strings of exactly `cols` cells. `text` is the whole page, scrolled or not.

    `hidden` is how many rows do not fit, and so how far the page can be scrolled.
    """

    screen: str
    title: str
    cols: int
    rows: int
    lines: tuple[str, ...]
    spans: tuple[Span, ...] = ()
    targets: tuple[Target, ...] = ()
    keys: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    hidden: int = 0
    leds: frozenset[Led] = frozenset()
    beep: bool = False

    def at(self, row: int, col: int) -> Target | None:
        """What a finger at that cell touches."""
        for target in self.targets:
            if target.row == row and target.col <= col < target.col + target.width:
                return target
        return None


def width(text: str) -> int:
    """Cells that `text` takes: two for Hangul and other wide characters, none for combining ones."""
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def clean(text: str) -> str:
    """NFC, without control characters: what host, card or device send may be shown."""
    return "".join(char for char in unicodedata.normalize("NFC", text) if char.isprintable())


def fit(text: str, cells: int, align: str = "<") -> str:
    """Exactly `cells` wide: cut at a whole character, padded at the right, left (`>`) or both (`^`)."""
    out, used = "", 0
    for char in clean(text):
        step = _cells(char)
        if used + step > cells:
            break
        out += char
        used += step
    free = cells - used
    before = {"<": 0, ">": free, "^": free // 2}[align]
    return " " * before + out + " " * (free - before)


def wrap(text: str, cells: int) -> list[str]:
    """Lines of at most `cells`, broken at spaces; a word that is too long is broken where it must be."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in clean(paragraph).split(" "):
            joined = f"{line} {word}" if line else word
            if width(joined) <= cells:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while width(line) > cells:
                head = fit(line, cells).rstrip()
                lines.append(head)
                line = line[len(head) :]
        lines.append(line)
    return lines


def won(amount: int) -> str:
    return f"{amount:,}원"
