"""A tiny web server whose answers a test writes: for cuts, lies and odd headers that a good server never makes."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Exchange:
    """One request as it came, and how to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    _handler: BaseHTTPRequestHandler = field(repr=False)

    @property
    def start(self) -> int:
        """Offset of `Range: bytes=N-`, 0 without one."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def answer(self, status: int, body: bytes = b"", announce: int | None = None, **headers: str) -> None:
        """`announce` is a Content-Length other than the truth; -1 leaves it out. Underscores in names become dashes."""
        self._handler.send_response(status)
        length = len(body) if announce is None else announce
        if length >= 0:
            self._handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()
        self._handler.wfile.write(body)
        self._handler.close_connection = True

    def json(self, value: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode())


class Scripted:
    """Calls `script(exchange)` for each request; keeps them all in `seen`."""

    def __init__(self, script: Callable[[Exchange], None], host: str = "127.0.0.1") -> None:
        self.seen: list[Exchange] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange = Exchange(self.command, self.path, headers, body, self)
                seen.append(exchange)
                try:
                    script(exchange)
                except ConnectionError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server names them so

            def log_message(self, *_: Any) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
