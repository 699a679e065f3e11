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
        print(text, file=sys.stderr, flush=True)

    def error(self, error: UtbenchError) -> None:
        self.event("error", code=error.code, message=error.message, hint=error.hint)
        self.say(f"utbench: {error}")

    def result(self, exit_code: int, **fields: Any) -> int:
        """The last line of every command under `--json`."""
        self.event("result", ok=exit_code == 0, exit=exit_code, **fields)
        return exit_code


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)
