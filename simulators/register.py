"""The paperwork of the world: which terminals exist, whose they are, and how each proves who it is.

One JSON file a terminal in `HOME/world/terminals/`. The voucher host reads its public key there, the
update server its token, the device itself writes the card when it is made. Separate processes share
the folder, so a card is read when it is needed.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from devices.durable import save_json

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TerminalCard:
    """`public_key` is PEM; `controller_id` is `<model>-<serial>`; `token` is its DDI TargetToken."""

    terminal_no: str
    serial: str
    model: str
    institution: str
    public_key: str
    token: str
    registered: bool = True

    @property
    def controller_id(self) -> str:
        return f"{self.model}-{self.serial}"


class Register:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, card: TerminalCard) -> None:
        save_json(self.folder / f"{card.terminal_no}.json", asdict(card), secret=True)

    def all(self) -> list[TerminalCard]:
        paths = sorted(self.folder.glob("*.json"))
        return [TerminalCard(**json.loads(path.read_text("utf-8"))) for path in paths]

    def terminal(self, terminal_no: str) -> TerminalCard | None:
        if not terminal_no.isalnum():
            return None
        path = self.folder / f"{terminal_no}.json"
        return TerminalCard(**json.loads(path.read_text("utf-8"))) if path.exists() else None

    def controller(self, controller_id: str, token: str) -> TerminalCard | None:
        """The registered terminal of that id, if the token is its own."""
        for card in self.all():
            if card.controller_id == controller_id and card.registered:
                return card if hmac.compare_digest(card.token, token) else None
        return None
