"""What a command says: stdout is data, stderr is narration, `--json` turns the data into JSON lines."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.errors import UtbenchError

SCHEMA = 1


@dataclass(slots=True)
class Report:
    """One command's voice. `json_lines` is the `--json` option."""

    json_lines: bool = False
    _status_width: int = 0

    def event(self, event: str, **fields: Any) -> None:
        """A JSON line, only under `--json`."""
        if self.json_lines:
            line = json.dumps({"schema": SCHEMA, "event": event, **fields}, ensure_ascii=False, default=_plain)
            print(line, flush=True)

    def data(self, text: str) -> None:
        """A line of data for people, on stdout; silent under `--json`."""
        if not self.json_lines:
            print(text, flush=True)

    def say(self, text: str) -> None:
        """Narration on stderr."""
        self.clear_status()
        print(text, file=sys.stderr, flush=True)

    def status(self, text: str) -> None:
        """A line that the next one overwrites, on a terminal only."""
        if sys.stderr.isatty():
            pad = " " * max(0, self._status_width - len(text))
            print(f"\r{text}{pad}", end="", file=sys.stderr, flush=True)
            self._status_width = len(text)

    def clear_status(self) -> None:
        if self._status_width:
            print("\r" + " " * self._status_width * 2 + "\r", end="", file=sys.stderr)
            self._status_width = 0

    def error(self, error: UtbenchError) -> None:
        self.event("error", code=error.code, message=error.message, hint=error.hint)
        self.say(f"utbench: {error}")

    def result(self, exit_code: int, **fields: Any) -> int:
        """The last line of every command under `--json`."""
        self.event("result", ok=exit_code == 0, exit=exit_code, **fields)
        return exit_code


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)
