"""The update server as one object: its folder, its register of terminals, its port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from simulators.register import Register
from simulators.updates.api import POLL_SLEEP_S, create_app
from simulators.updates.store import UpdateStore
from simulators.web_server import WebServer

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from devices.clock import Clock


class UpdateServer:
    """Runs from construction to `close`. The first start makes keys and an empty repository, each later one signs anew.

    `clock` is business time and stamps the reports; TUF's expiry is real time unless a test gives `tuf_clock`.
    """

    def __init__(
        self,
        folder: Path,
        register_folder: Path,
        clock: Clock,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        poll_sleep_s: int = POLL_SLEEP_S,
        tuf_clock: Clock | None = None,
    ) -> None:
        self.store = UpdateStore(folder, clock, tuf_clock)
        self._web = WebServer(create_app(self.store, Register(register_folder), poll_sleep_s), host, port)

    @property
    def url(self) -> str:
        """The DDI base without tenant; TUF is below `/tuf`."""
        return self._web.url

    @property
    def root_bytes(self) -> bytes:
        """The TUF root for `TrustStore.pin`."""
        return self.store.repository.root_bytes

    def close(self) -> None:
        self._web.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
