"""From a page's items to an Lcd: title, body that scrolls, keypad, buttons. Nothing is laid out twice.

Pure. The grid is the model's; a body that does not fit shows which part of it is seen (`1/2`, touch to go on).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from terminal.fields import Do
from terminal.lcd import Lcd, Span, Style, Target, clean, fit, width, wrap

if TYPE_CHECKING:
    from devices.profiles import Profile

KEYPAD = (("1", "2", "3", "⌫"), ("4", "5", "6", "다음"), ("7", "8", "9", "0"))  # as the guide draws it
ROOMY_ROWS = 20  # from here on there is air under the title


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    style: Style = Style.LABEL


@dataclass(frozen=True, slots=True)
class Pair:
    """A label and what stands behind it."""

    name: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a list. `mark` is drawn in front of it."""

    label: str
    action: str
    chosen: bool
    mark: str = " "


@dataclass(frozen=True, slots=True)
class Boxes:
    """A label and its places for digits: (typed, digits, suffix, in focus)."""

    label: str
    boxes: tuple[tuple[str, int, str, bool], ...]


Item = Text | Pair | Choice | Boxes


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page before it is laid out."""

    screen: str
    title: str
    items: tuple[Item, ...]
    buttons: tuple[tuple[str, str], ...] = ()
    keypad: bool = False
    scroll: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    beep: bool = False


@dataclass(slots=True)
class _Row:
    text: str
    spans: list[tuple[int, int, Style]] = field(default_factory=list)
    target: Target | None = None
    focus: bool = False


def draw(sheet: Sheet, profile: Profile) -> Lcd:
    cols, rows = profile.cols, profile.rows
    body = _body(sheet.items, cols, roomy=rows >= ROOMY_ROWS)
    foot = _keypad(cols) if sheet.keypad else []
    foot += _buttons(sheet.buttons, cols)
    air = 1 if rows >= ROOMY_ROWS else 0
    room = rows - 1 - air - len(foot)
    first = _first_row(body, room, sheet.scroll)
    seen = body[first : first + room]
    head = _title(sheet.title, first, room, len(body), cols)
    blank = [_Row("") for _ in range(room - len(seen))]
    lines = [head, *[[_Row("")]] * air, *[[row] for row in seen], *[[row] for row in blank], *foot]
    placed = [(at, row) for at, line in enumerate(lines) for row in line]
    hidden = [row.target for row in body if row.target and row not in seen]
    return Lcd(
        screen=sheet.screen,
        title=clean(sheet.title),
        cols=cols,
        rows=rows,
        lines=tuple(_join(line, cols) for line in lines),
        spans=tuple(Span(at, col, cells, style) for at, row in placed for col, cells, style in row.spans),
        targets=(*(replace(row.target, row=at) for at, row in placed if row.target), *hidden),
        keys=_soft_keys(sheet.buttons),
        fields=sheet.fields,
        text="\n".join([sheet.title, *(_plain(item) for item in sheet.items), *(label for label, _ in sheet.buttons)]),
        hidden=max(0, len(body) - room),
        beep=sheet.beep,
    )


def _soft_keys(buttons: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    labels = [label for label, _ in buttons]
    return tuple(labels[:2])


def _join(line: list[_Row], cols: int) -> str:
    """Rows of a foot line stand side by side, each already as wide as its place."""
    return fit("".join(row.text for row in line), cols)


def _title(title: str, first: int, room: int, length: int, cols: int) -> list[_Row]:
    """The title, and behind it which part of a longer body is seen; a touch there shows the next part."""
    if length <= room:
        return [_Row(fit(f" {title}", cols), [(0, cols, Style.TITLE)])]
    parts = -(-length // room)
    part = f"{parts if first + room >= length else first // room + 1}/{parts}"
    left = cols - width(part)
    text = f" {title}" if width(title) < left else title
    return [
        _Row(fit(text, left), [(0, cols, Style.TITLE)]),
        _Row(part, target=Target(part, f"{Do.PAGE}:{room}", col=left, width=width(part))),
    ]


def _first_row(body: list[_Row], room: int, scroll: int) -> int:
    """Where the visible part begins: as scrolled, but never without the row in focus."""
    last = max(0, len(body) - room)
    first = min(scroll, last)
    focus = next((at for at, row in enumerate(body) if row.focus), None)
    if focus is not None and not first <= focus < first + room:
        first = min(focus, last)
    return first


def _body(items: tuple[Item, ...], cols: int, *, roomy: bool) -> list[_Row]:
    """Values stand under each other where all of them fit; a roomy grid has air between different things."""
    pairs = [item for item in items if isinstance(item, Pair)]
    column = max((width(pair.label) for pair in pairs), default=0)
    if any(column + 1 + width(clean(pair.value)) > cols for pair in pairs):
        column = 0
    out: list[_Row] = []
    before: Item | None = None
    for item in items:
        if roomy and before is not None and (type(item) is not type(before) or isinstance(item, Choice)):
            out.append(_Row(""))
        out += _rows(item, cols, column)
        before = item
    return out


def _rows(item: Item, cols: int, column: int) -> list[_Row]:
    match item:
        case Text(text, style):
            return [_Row(line, [(0, width(line), style)]) for line in wrap(text, cols)]
        case Pair(_, label, value):
            return _pair(label, value, cols, column)
        case Choice(label, action, chosen, mark):
            lines = [f"{mark} {lines}" if n == 0 else f"  {lines}" for n, lines in enumerate(wrap(label, cols - 2))]
            spans = [(0, cols, Style.CHOSEN)] if chosen else []
            target = Target(clean(label), action, col=0, width=cols)
            rows = [_Row(line, list(spans), target) for line in lines]
            rows[0].focus = chosen
            return rows
        case Boxes(label, boxes):
            return [_boxes(label, boxes)]


def _pair(label: str, value: str, cols: int, column: int) -> list[_Row]:
    lines = [f"{fit(label, column)} {clean(value)}"] if column else wrap(f"{label} {value}", cols)
    rows = [_Row(line, [(0, width(line), Style.VALUE)]) for line in lines]
    start = max(column, width(label)) + 1
    beside = width(lines[0]) - start  # none where the value begins a line of its own
    rows[0].spans = [(0, width(label), Style.LABEL), *([(start, beside, Style.VALUE)] if beside > 0 else [])]
    return rows


def _boxes(label: str, boxes: tuple[tuple[str, int, str, bool], ...]) -> _Row:
    row = _Row(f"{label} " if label else "")
    row.spans = [(0, width(label), Style.LABEL)] if label else []
    for typed, digits, suffix, focused in boxes:
        row.spans.append((width(row.text), digits, Style.FOCUS if focused else Style.VALUE))
        row.text += fit(typed, digits, ">") + (f" {suffix} " if suffix else "")
        row.focus = row.focus or focused
    return row


def _plain(item: Item) -> str:
    match item:
        case Text(text):
            return text
        case Pair(_, label, value):
            return f"{label} {value}"
        case Choice(label):
            return label
        case Boxes(label, boxes):
            return " ".join([label, *(f"{typed} {suffix}".strip() for typed, _, suffix, _ in boxes)]).strip()


def _keypad(cols: int) -> list[list[_Row]]:
    actions = {"⌫": str(Do.ERASE), "다음": str(Do.NEXT)}
    out = []
    for keys in KEYPAD:
        cell = cols // len(keys)
        line = []
        for n, key in enumerate(keys):
            col = n * cell
            target = Target(key, actions.get(key, f"{Do.DIGIT}:{key}"), col=col, width=cell)
            line.append(_Row(fit(key, cell, "^"), [(col, cell - 1, Style.KEY)], target))
        out.append(line)
    return out


def _buttons(buttons: tuple[tuple[str, str], ...], cols: int) -> list[list[_Row]]:
    """Side by side as long as they fit, then in a further row."""
    out: list[list[_Row]] = []
    rest = list(buttons)
    while rest:
        count = len(rest)
        while count > 1 and any(width(label) + 3 > cols // count for label, _ in rest[:count]):
            count -= 1
        cell = cols // count
        line = []
        for n, (label, action) in enumerate(rest[:count]):
            target = Target(clean(label), action, col=n * cell, width=cell)
            line.append(_Row(fit(f"[{label}]", cell, "^"), [(n * cell, cell, Style.BUTTON)], target))
        out.append(line)
        rest = rest[count:]
    return out
