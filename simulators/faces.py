"""Where a simulated device meets the outside: a pty (POSIX) or a TCP socket (every platform), behind one Protocol."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from typing import Protocol

from devices.errors import PortBusy, UsageError

READ_BYTES = 4096
WRITE_PATIENCE_S = 1.0
SEND_BYTES = 1024  # no more at a time than a socket takes that says it is ready


class Face(Protocol):
    """One port of a device. `read` blocks one thread; `replug` is what a reset of a USB device looks like."""

    name: str

    def read(self, most: int = READ_BYTES) -> bytes:
        """Bytes from whoever is connected; `b""` once closed."""

    def waiting(self) -> bool:
        """Whether bytes are there already."""

    def write(self, data: bytes) -> None:
        """To whoever is connected; lost where nobody is, or nobody reads."""

    def replug(self) -> None:
        """Disconnect whoever is connected, and come back, maybe under another name."""

    def close(self) -> None: ...


class TcpFace:
    """Listens on 127.0.0.1; one client at a time, as a serial port has one."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OSError as error:
            self._listener.close()
            raise PortBusy(f"TCP port {port} is in use.", "Name another, or 0 for any free one.") from error
        self._listener.listen(1)
        self.name = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None
        self._closed = False

    def read(self, most: int = READ_BYTES) -> bytes:
        while not self._closed:
            client = self._client
            try:
                if client is None:
                    client, _ = self._listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._client = client
                data = client.recv(most)
            except OSError:
                data = b""
            if data:
                return data
            self._drop(client)
        return b""

    def waiting(self) -> bool:
        client = self._client
        try:
            return client is not None and bool(select.select([client], [], [], 0)[0])
        except (OSError, ValueError):
            return False

    def write(self, data: bytes) -> None:
        client = self._client
        view = memoryview(data)
        with contextlib.suppress(OSError, ValueError):
            while client is not None and view:
                if not select.select([], [client], [], WRITE_PATIENCE_S)[1]:
                    return
                view = view[client.send(view[:SEND_BYTES]) :]

    def replug(self) -> None:
        self._drop(self._client)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop(self._client)

    def _drop(self, client: socket.socket | None) -> None:
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
            if self._client is client:
                self._client = None


if sys.platform != "win32":
    import tty

    class PtyFace:
        """A pseudo-terminal: to a client the same as a serial port.

        The device keeps its own descriptor of the client's side open, so that the line stays raw and no
        read fails while nobody is connected. Bytes that nobody reads are lost, as on a real line.
        """

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._closed = False
            self._wake_read, self._wake_write = os.pipe()
            self._open()

        def _open(self) -> None:
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self.name = os.ttyname(self._slave)

        def read(self, most: int = READ_BYTES) -> bytes:
            while not self._closed:
                master = self._master
                try:
                    ready, _, _ = select.select([master, self._wake_read], [], [])
                    if self._wake_read in ready:
                        os.read(self._wake_read, 1)
                        continue  # replugged or closed
                    data = os.read(master, most)
                except (OSError, ValueError):
                    continue
                if data:
                    return data
            return b""

        def waiting(self) -> bool:
            try:
                return bool(select.select([self._master], [], [], 0)[0])
            except (OSError, ValueError):
                return False

        def write(self, data: bytes) -> None:
            view = memoryview(data)
            with self._lock, contextlib.suppress(OSError, ValueError):
                while view:
                    try:
                        view = view[os.write(self._master, view) :]
                    except BlockingIOError:
                        if not select.select([], [self._master], [], WRITE_PATIENCE_S)[1]:
                            return

        def replug(self) -> None:
            with self._lock:
                os.close(self._master)
                os.close(self._slave)
                self._open()
            os.write(self._wake_write, b"r")

        def close(self) -> None:
            if self._closed:
                return
            self._closed = True
            os.write(self._wake_write, b"c")
            with self._lock:
                os.close(self._master)
                os.close(self._slave)


def open_face(kind: str, tcp_port: int = 0) -> Face:
    """`pty` or `tcp`."""
    if kind == "tcp":
        return TcpFace(tcp_port)
    if sys.platform != "win32":
        return PtyFace()
    raise UsageError("Windows has no ptys.", "Use --tcp.")
