"""The registration check of a simulated terminal at power-on: it asks the update server with its own token."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.durable import save_json
from devices.errors import Refused, UtbenchError
from terminal.state import Registered

if TYPE_CHECKING:
    from pathlib import Path

CHECK_S = 17.0  # the guide: 15 to 20 seconds; times the world's pace


@dataclass(frozen=True, slots=True)
class ServerRegistrar:
    """Asks the server at `url`. While it cannot be reached, what it said last (kept in `memory`) still counts."""

    url: str
    tenant: str
    controller_id: str
    token: str
    memory: Path
    pace: float

    def check(self) -> Registered:
        from ota.ddi import DdiClient
        from ota.http import Patience

        threading.Event().wait(CHECK_S * self.pace)
        patience = Patience(connect_s=2.0, read_s=5.0, attempts=2, first_pause_s=0.2)
        try:
            DdiClient(self.url, self.tenant, self.controller_id, self.token, patience=patience).poll()
        except Refused:
            result = Registered(
                ok=False, note="업데이트 서버에 등록되지 않았거나 인증정보가 다릅니다. 제공기관에 문의하십시오."
            )
        except UtbenchError:
            return self._remembered()
        else:
            result = Registered(ok=True)
        save_json(self.memory, {"registered": result.ok})
        return result

    def _remembered(self) -> Registered:
        note = "업데이트 서버에 접속하지 못했습니다. 통신 상태를 확인하고 전원을 다시 켜십시오."
        try:
            ok = json.loads(self.memory.read_text("utf-8")).get("registered") is True
        except (OSError, ValueError):
            ok = False
        return Registered(ok, note)


class NoServer:
    """A terminal that belongs to no update server: it says so and takes no payments."""

    def check(self) -> Registered:
        return Registered(ok=False, note="업데이트 서버가 설정되지 않았습니다.")
