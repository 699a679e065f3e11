"""A raw TCP socket as a link. pyserial's own `socket://` reports one waiting byte and cannot cancel a read."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

from devices.errors import PortLost, PortNotFound, UsageError

CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 65_536


class TcpLink:
    """`socket://host:port`."""

    def __init__(self, url: str) -> None:
        self.name = url
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or not port:
            raise UsageError(f"{url!r} names no host and port.", "Write it as socket://127.0.0.1:4001.")
        try:
            self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise PortNotFound(
                f"Nobody answers at {url} ({error.strerror or error}).", "Check the address, and that the device is on."
            ) from error
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._closed = False

    def read(self) -> bytes:
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data and not self._closed:
            raise PortLost(f"{self.name} closed the connection.", "Run the same command again once the device is back.")
        return data

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise PortLost(
                f"{self.name} closed the connection.", "Run the same command again once the device is back."
            ) from error

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
