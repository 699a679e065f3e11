"""Which key does what, once: for the bindings, the hints and the help. No letters: a Korean IME may stay on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """`action` is a method of the workbench; `label` names the key in the hints, empty: not there."""

    key: str
    action: str
    text: str
    label: str = ""


KEYS = (
    Bound("enter", "press('ok')", "확인"),
    Bound("backspace", "press('back')", "⌫"),
    Bound("escape", "press('cancel')", "취소·이전"),
    Bound("tab", "press('next')", "다음"),
    Bound("up", "press('up')", "위"),
    Bound("down", "press('down')", "아래"),
    Bound("home", "press('menu')", "메뉴"),
    Bound("f2", "press('f1')", "왼쪽", label="F2"),
    Bound("f3", "press('f2')", "오른쪽", label="F3"),
    Bound("f4", "tap", "카드 태그", label="F4"),
    Bound("f8", "trace", "기록·원장", label="F8"),
    Bound("shift+f10", "press('power')", "전원", label="⇧F10"),
    Bound("f1", "help", "도움말", label="F1"),
    Bound("question_mark", "help", "도움말"),
    Bound("ctrl+q", "quit", "끝", label="^Q"),
)
