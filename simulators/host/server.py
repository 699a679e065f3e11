"""The host as a running server: store, application and web server under one `close`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from simulators.host.api import create_app
from simulators.host.faults import Faults
from simulators.host.sql_store import SqlStore
from simulators.host.store import DictStore
from simulators.register import Register
from simulators.web_server import WebServer

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from simulators.host.operator_api import WorldClock
    from simulators.host.store import Store


class HostServer:
    """Serves from construction to `close`, on `url`; `store`, `faults` and `clock` are for the same process's use.

    `store_path` None keeps everything in memory. `DatabaseError` where the file is not ours to read.
    """

    def __init__(
        self, store_path: Path | None, register_folder: Path, clock: WorldClock, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.store: Store = SqlStore(store_path) if store_path else DictStore()
        self.faults = Faults()
        self.clock = clock
        try:
            self._web = WebServer(create_app(self.store, Register(register_folder), clock, self.faults), host, port)
        except BaseException:
            self.store.close()
            raise

    @property
    def url(self) -> str:
        """`http://host:port`, with no slash at its end."""
        return self._web.url

    def close(self) -> None:
        """Finish what is being answered, then close the books."""
        self._web.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
