"""A serial port, local or over RFC 2217, through pyserial.

The reading thread blocks in the port; nobody polls it, and `timeout` is never assigned after opening
(over RFC 2217 each assignment costs 150 ms). DTR and RTS are set before opening, so that a board that
resets on them is left alone. The port is held exclusively: flock by pyserial, TIOCEXCL by us
(not on a pty).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any

import serial

from devices.errors import NotATerminal, PortBusy, PortDenied, PortLost, PortNotFound, UtbenchError

if sys.platform != "win32":
    import fcntl
    import termios


class SerialLink:
    def __init__(self, port: str, baud: int) -> None:
        self.name = port
        self._closed = False
        try:
            self._port: Any = serial.serial_for_url(
                port, baudrate=baud, do_not_open=True, timeout=None, write_timeout=10
            )
            if "://" not in port:
                self._port.exclusive = True if sys.platform != "win32" else None
            self._port.dtr = True
            self._port.rts = True
            self._port.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise _explain(port, error) from error
        if sys.platform != "win32" and _ends_with_us(self._port):
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._port.fileno(), termios.TIOCEXCL)

    def read(self) -> bytes:
        try:
            data: bytes = self._port.read(1)
            if data:
                data += self._port.read(self._port.in_waiting)
                return data
        except (serial.SerialException, OSError, TypeError, ValueError, AttributeError) as error:
            if not self._closed:  # closing under a reader surfaces as any of these
                raise self._lost() from error
        if not self._closed:
            raise self._lost()
        return b""

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError, TypeError) as error:
            raise self._lost() from error

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(Exception):
            self._port.cancel_read()
        with contextlib.suppress(Exception):
            self._port.close()

    def _lost(self) -> PortLost:
        return PortLost(
            f"{self.name} was unplugged or closed.", "Attach it again and run the same command: it goes on."
        )


def _ends_with_us(port: object) -> bool:
    """Whether exclusive mode ends when we do. Whoever made a pty keeps it open, so there it would shut out the next."""
    if not isinstance(port, serial.Serial) or port.name is None:
        return False
    return not os.path.realpath(port.name).startswith(("/dev/pts/", "/dev/ttys"))


def _explain(port: str, error: Exception) -> UtbenchError:
    """Pyserial's many spellings of four cases, as those four."""
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text:
        return PortNotFound(f"There is no port {port}.", "`utbench device list` shows the ports that exist.")
    if number == errno.EACCES or "PermissionError" in text:
        return PortDenied(
            f"You may not open {port}.", "Add yourself to the group that owns it (often dialout), then log in again."
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return PortBusy(f"{port} is in use by another program.", "Close that program, then run the same command again.")
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR) or "configure port" in text:
        return NotATerminal(f"{port} is not a serial port.", "`utbench device list` shows the ports that exist.")
    return PortNotFound(
        f"{port} could not be opened: {text}.", "Check the name; `utbench device list` shows the ports."
    )
