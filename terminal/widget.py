"""The Textual face of a terminal: draws an Lcd as it is, and says what was touched. Nothing is laid out here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from terminal.lcd import Lcd, Style, width

if TYPE_CHECKING:
    from textual import events
    from textual.geometry import Size

PAPER, INK = "#f3f6ee", "#1d2b24"
STYLES = {
    Style.TITLE: RichStyle(color="#ffffff", bgcolor="#1f5c4a", bold=True),
    Style.LABEL: RichStyle(color="#4a5b52", bgcolor=PAPER),
    Style.VALUE: RichStyle(color=INK, bgcolor=PAPER, bold=True),
    Style.FOCUS: RichStyle(color=INK, bgcolor="#ffdf7e", bold=True),
    Style.CHOSEN: RichStyle(color=INK, bgcolor="#bfe3d0", bold=True),
    Style.KEY: RichStyle(color=INK, bgcolor="#dbe3d6"),
    Style.BUTTON: RichStyle(color="#ffffff", bgcolor="#2f7a62", bold=True),
    Style.NOTE: RichStyle(color="#8a3d00", bgcolor=PAPER),
}
PLAIN = RichStyle(color=INK, bgcolor=PAPER)
OFF = RichStyle(color="#303030", bgcolor="#101412")


class LcdView(Widget, can_focus=False):
    """Shows one Lcd; a click posts `Touched`. Never focusable: keys reach the terminal by one path only."""

    @dataclass
    class Touched(Message):
        """A finger on the screen: the action of what lies there."""

        action: str

    DEFAULT_CSS = "LcdView { width: auto; height: auto; }"

    def __init__(self, lcd: Lcd) -> None:
        super().__init__()
        self._lcd = lcd

    def show(self, lcd: Lcd) -> None:
        resized = (lcd.cols, lcd.rows) != (self._lcd.cols, self._lcd.rows)
        self._lcd = lcd
        self.refresh(layout=resized)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        del container, viewport
        return self._lcd.cols

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        del container, viewport, width
        return self._lcd.rows

    def render_line(self, y: int) -> Strip:
        return Strip(segments(self._lcd, y), self._lcd.cols)

    def on_click(self, event: events.Click) -> None:
        target = self._lcd.at(event.y, event.x)
        if target is not None:
            self.post_message(self.Touched(target.action))


def segments(lcd: Lcd, row: int) -> list[Segment]:
    """One row as styled text, cell for cell."""
    if row >= lcd.rows:
        return []
    plain = OFF if lcd.screen == "off" else PLAIN
    styles = [plain] * lcd.cols
    for span in lcd.spans:
        if span.row == row:
            for col in range(span.col, min(span.col + span.width, lcd.cols)):
                styles[col] = STYLES[span.style]
    out: list[Segment] = []
    col = 0
    for char in lcd.lines[row]:
        style = styles[min(col, lcd.cols - 1)]
        if out and out[-1].style == style:
            out[-1] = Segment(out[-1].text + char, style)
        else:
            out.append(Segment(char, style))
        col += width(char)
    return out
