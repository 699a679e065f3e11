"""A web application on a thread of its own: the socket is bound first, so the port is known and open at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

import uvicorn

from devices.clock import monotonic_s
from devices.errors import PortBusy, Unreachable

if TYPE_CHECKING:
    from types import TracebackType

    from fastapi import FastAPI

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
IDLE_S = 30
_BACKLOG = 128


class WebServer:
    """Serves `app` from construction to `close`; `port` 0 takes a free one.

    A client that connects before the application is ready waits in the socket's queue. `PortBusy`
    where the port is taken; `Unreachable` where the application does not start.
    """

    def __init__(self, app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = _bind(host, port)
        self.host = host
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=f"web {self.port}", daemon=True)
        self._thread.start()
        self._wait_until_ready()

    @property
    def url(self) -> str:
        """`http://host:port`, with no slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Finish what is being answered (a second at most), then free the port. Harmless twice."""
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(STOP_TIMEOUT_S)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):  # how uvicorn ends where the application does not start
            self._server.run(sockets=[self._socket])

    def _wait_until_ready(self) -> None:
        """So that a failing start is an error here, and a `close` right after never races the start."""
        deadline = monotonic_s() + START_TIMEOUT_S
        while not self._server.started and self._thread.is_alive() and monotonic_s() < deadline:
            self._thread.join(0.005)
        if not self._server.started:
            self.close()
            raise Unreachable(f"The server on {self.url} did not start.", "See the lines above; then start it again.")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, else asyncio leaves Nagle on
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise PortBusy(
            f"Port {port} of {host} cannot be opened: {error.strerror or error}.",
            "Name another port, or 0 for any free one.",
        ) from error
    return bound
