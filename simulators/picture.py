"""A picture of styled text, cell by cell: every character stands where its cells are, so Hangul lines up.

(Textual's and Rich's own export counts characters instead of cells and squeezes Hangul.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from terminal.lcd import width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.segment import Segment

CELL_W, CELL_H, BASELINE = 9, 20, 15
FONT = "D2Coding, 'Nanum Gothic Coding', 'Noto Sans Mono CJK KR', 'Apple SD Gothic Neo', monospace"


def svg(rows: Sequence[Iterable[Segment]], cols: int, *, paper: str, ink: str) -> str:
    """Rows of segments as an SVG of `cols` × `len(rows)` cells; `paper` and `ink` where a segment has no colours."""
    wide, high = cols * CELL_W, len(rows) * CELL_H
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">',
        f'<g font-family="{escape(FONT)}" font-size="15">',
        f'<rect width="100%" height="100%" fill="{paper}"/>',
    ]
    for y, row in enumerate(rows):
        col = 0
        for segment in row:
            cells = width(segment.text)
            out += _segment(segment, col, y, cells, ink)
            col += cells
    out.append("</g></svg>")
    return "\n".join(out) + "\n"


def _segment(segment: Segment, col: int, y: int, cells: int, ink: str) -> list[str]:
    style = segment.style
    back = style.bgcolor.get_truecolor().hex if style and style.bgcolor and not style.bgcolor.is_default else ""
    fill = style.color.get_truecolor().hex if style and style.color and not style.color.is_default else ink
    bold = ' font-weight="bold"' if style and style.bold else ""
    out = []
    if back:
        out.append(
            f'<rect x="{col * CELL_W}" y="{y * CELL_H}" width="{cells * CELL_W}" height="{CELL_H}" fill="{back}"/>'
        )
    places, texts = [], []
    for char in segment.text:
        if char != " ":
            places.append(str(col * CELL_W))
            texts.append(char)
        col += width(char)
    if texts:
        text = escape("".join(texts))
        out.append(f'<text x="{" ".join(places)}" y="{y * CELL_H + BASELINE}" fill="{fill}"{bold}>{text}</text>')
    return out
