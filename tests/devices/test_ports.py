"""Real ptys and sockets: who may open what, and what a person is told."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import socket
import subprocess
import sys
import termios
import threading
import tty

import pytest

from devices import discovery, serial_link
from devices.discovery import OpenTerminal
from devices.errors import NotATerminal, PortBusy, PortDenied, PortLost, PortNotFound, UsageError
from devices.link import open_link
from devices.lock import FileLock, lock_name
from devices.smp import Op
from devices.terminal import Terminal

TIOCGEXCL = 0x80045440  # Linux: is the terminal in exclusive mode?
HELD_S = 20.0


@pytest.fixture
def pty():
    """Both ends of a pty on which nobody answers: (our descriptor, name of the port)."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    for fd in (master, slave):
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"socket://127.0.0.1:{server.getsockname()[1]}"


def test_bytes_both_ways(pty, home):
    """Any byte passes a serial port in both directions unchanged; closing ends the reader with nothing."""
    master, port = pty
    link = open_link(port, home)
    data = bytes(range(256))
    os.write(master, data)
    got = b""
    while len(got) < len(data):
        got += link.read()
    assert got == data
    link.write(data)
    back = b""
    while len(back) < len(data):
        back += os.read(master, 4096)
    assert back == data

    ended = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: ended.put(link.read()))
    reader.start()
    link.close()
    assert ended.get(timeout=HELD_S) == b""
    reader.join(HELD_S)


def test_second_program_is_kept_out(pty, home):
    """A port is held by flock: a second opening is PortBusy, and succeeds once the first is closed."""
    _, port = pty
    link = open_link(port, home)
    with pytest.raises(PortBusy, match="in use by another program"):
        open_link(port, home)
    link.close()
    open_link(port, home).close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux whether a terminal is in exclusive mode")
@pytest.mark.parametrize("is_pty", [True, False])
def test_exclusive_mode(pty, home, monkeypatch, is_pty):
    """Programs that know no locks are kept out by TIOCEXCL, but not of a pty: its maker keeps that open, so the mode
    would outlast us and shut out everybody for good."""
    _, port = pty
    if not is_pty:
        monkeypatch.setattr(serial_link, "_ends_with_us", lambda _: True)
    with contextlib.closing(open_link(port, home)) as link:
        exclusive = fcntl.ioctl(link._port.fileno(), TIOCGEXCL, bytes(4))
        assert int.from_bytes(exclusive, sys.byteorder) == (0 if is_pty else 1)


def test_lock_names_the_holder(pty, home):
    """A port that another utbench holds is refused with that one's pid, before a byte is written; it dies, we go on."""
    master, port = pty
    code = (
        "import sys; from devices.home import Home; from devices.lock import FileLock, lock_name;"
        "lock = FileLock(Home.at().locks / lock_name(sys.argv[1]), sys.argv[1]); print('held', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PortBusy, match=f"in use by process {holder.pid}") as caught:
            OpenTerminal(home, port)
        assert caught.value.hint
        holder.kill()
        holder.wait()
    OpenTerminal(home, port).close()
    os.set_blocking(master, False)
    with pytest.raises(BlockingIOError):
        os.read(master, 1)


def test_failed_opening_frees_the_lock(home, tmp_path):
    """A port that cannot be opened is not left locked."""
    port = str(tmp_path / "ttyUSB0")
    for _ in range(2):
        with pytest.raises(PortNotFound):
            OpenTerminal(home, port)
    FileLock(home.locks / lock_name(port), port).close()


@pytest.mark.parametrize("port", ["/dev/ttyUSB99", "/dev/nothing-here"])
def test_no_such_port(port, home):
    """A port that does not exist is said to, with where to look."""
    with pytest.raises(PortNotFound, match=f"There is no port {port}") as caught:
        open_link(port, home)
    assert "utbench device list" in caught.value.hint


@pytest.mark.parametrize("kind", ["file", "folder", "null"])
def test_not_a_serial_port(tmp_path, kind, home):
    """A file, a folder or /dev/null is no serial port, and stays as it is."""
    path = tmp_path / "thing"
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "folder":
        path.mkdir()
    port = "/dev/null" if kind == "null" else str(path)
    with pytest.raises(NotATerminal, match="is not a serial port"):
        open_link(port, home)
    assert kind != "file" or path.read_bytes() == b"precious"


def test_no_permission(tmp_path, home):
    """A port that this user may not open is said to, with the group to join."""
    if os.geteuid() == 0:
        pytest.skip("root may open everything")
    path = tmp_path / "ttyUSB0"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(PortDenied, match="may not open") as caught:
        open_link(str(path), home)
    assert "dialout" in caught.value.hint


def test_nobody_answers(pty, home):
    """A port at which nothing answers is no terminal: said after three bounded attempts, with what to check."""
    master, port = pty
    with (
        OpenTerminal(home, port) as terminal,
        pytest.raises(NotATerminal, match=f"No voucher terminal answers at {port}"),
    ):
        terminal.identity()
    assert os.read(master, 4096).count(b"\x06\x09") == 3


def test_answers_noise(pty, home):
    """A port at which something talks, but no SMP, is no terminal; its noise is not shown."""
    master, port = pty
    os.write(master, b"$GPGGA,1,2,3\r\n" * 20)
    found = discovery.ask(home, discovery.Candidate(port, "named"))
    assert isinstance(found.error, NotATerminal)
    assert "GPGGA" not in str(found.error)


def test_unplugged(home):
    """A pulled cable ends a waiting request with PortLost at once."""
    master, slave = os.openpty()
    tty.setraw(slave)
    terminal = OpenTerminal(home, os.ttyname(slave))
    os.close(slave)

    def pull():
        os.read(master, 100)  # the request has come
        os.close(master)

    puller = threading.Thread(target=pull)
    puller.start()
    with pytest.raises(PortLost, match="unplugged or closed"):
        terminal._client.request(Op.READ, 0, 0, timeout_s=HELD_S, tries=1)
    puller.join()
    terminal.close()


def test_tcp_both_ways(listener, home):
    """A TCP port carries bytes both ways; closing ends the reader with nothing, the other's end with PortLost."""
    server, port = listener
    link = open_link(port, home)
    peer, _ = server.accept()
    with peer:
        peer.sendall(b"abc")
        assert link.read() == b"abc"
        link.write(b"xyz")
        assert peer.recv(10) == b"xyz"
    with pytest.raises(PortLost, match="closed the connection"):
        link.read()
    link.close()
    assert link.read() == b""


def test_tcp_lost_while_waiting(listener, home):
    """A terminal over TCP that goes away in a request is lost at once."""
    server, port = listener
    with Terminal(open_link(port, home)) as terminal:
        peer, _ = server.accept()
        threading.Thread(target=lambda: (peer.recv(100), peer.close())).start()
        with pytest.raises(PortLost):
            terminal._client.request(Op.READ, 0, 0, timeout_s=HELD_S, tries=1)


def test_tcp_nobody_there(home):
    """A TCP port that nobody listens on is not found, in a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    with pytest.raises(PortNotFound, match="Nobody answers at socket"):
        open_link(f"socket://127.0.0.1:{number}", home)


@pytest.mark.parametrize(
    "port", ["socket://", "socket://127.0.0.1", "socket://127.0.0.1:x", "gopher://x", "sims:ut-99l"]
)
def test_odd_names(port, home):
    """A name that is no port of any kind is a usage error with an example of a right one."""
    with pytest.raises(UsageError) as caught:
        open_link(port, home)
    assert "socket://" in caught.value.hint


def test_settings_of_the_line(pty, home):
    """The port is raw, 8 bits, no parity, no flow control, at the speed that was asked for."""
    master, port = pty
    with contextlib.closing(open_link(port, home, baud=921_600)):
        iflag, _oflag, cflag, lflag, speed_in, speed_out, _ = termios.tcgetattr(master)
    assert speed_in == speed_out == termios.B921600
    assert cflag & termios.CSIZE == termios.CS8
    assert not cflag & (termios.PARENB | termios.CRTSCTS)
    assert not iflag & (termios.IXON | termios.IXOFF | termios.ICRNL)
    assert not lflag & (termios.ICANON | termios.ECHO)
