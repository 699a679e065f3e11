"""What the agent remembers of an update, per terminal: `HOME/agent/devices/<serial>/state.json`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from devices.durable import save_json
from devices.errors import UtbenchError
from ota.agent import Outcome, Step, Update

if TYPE_CHECKING:
    from pathlib import Path

    from devices.home import Home

SCHEMA = 1


class SavedUpdates:
    def __init__(self, home: Home) -> None:
        self._folder = home.agent / "devices"

    def load(self, serial: str) -> Update | None:
        """None where nothing is under way. Raises `UtbenchError` for a file of a newer utbench; a damaged one counts
        as none, since the terminal itself says how far it is.
        """
        path = self._path(serial)
        try:
            data = json.loads(path.read_text("utf-8"))
            schema = data.pop("schema")
            if schema > SCHEMA:
                raise UtbenchError(f"{path} was written by a newer utbench.", "Use that version, or another --home.")
            known = {field.name for field in fields(Update)}
            data = {name: value for name, value in data.items() if name in known}
            data["step"] = Step(data["step"])
            data["outcome"] = Outcome(data["outcome"]) if data["outcome"] else None
            data["overrides"] = tuple(data["overrides"])
            return Update(**data)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def save(self, update: Update) -> None:
        save_json(self._path(update.serial), {"schema": SCHEMA, **asdict(update)})

    def forget(self, serial: str) -> None:
        self._path(serial).unlink(missing_ok=True)

    def _path(self, serial: str) -> Path:
        return self._folder / re.sub(r"[^A-Za-z0-9._-]", "_", serial) / "state.json"
