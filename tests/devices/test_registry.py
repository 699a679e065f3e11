"""Which terminals are attached: simulated ones by registry, USB ones by this site's ids, others never."""

from __future__ import annotations

import subprocess
import sys

import pytest

from devices import discovery
from devices.commands.shell import worst
from devices.discovery import Candidate, candidates, one
from devices.errors import EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, NoAnswer, PortBusy, PortNotFound
from devices.registry import Registered, Registration, running

USB = Candidate("/dev/ttyUSB0", "usb", "FT1", "1-2", (0x0403, 0x6001))
OTHER = Candidate("/dev/ttyUSB1", "usb", "GPS", "1-3", (0x1546, 0x01A7))


@pytest.fixture
def usb_ports(monkeypatch):
    ports = [USB, OTHER]
    monkeypatch.setattr(discovery, "serial_ports", lambda: list(ports))
    return ports


def test_a_device_comes_moves_and_goes(home):
    """A running device is listed at the port where it is now; not while it is unplugged, nor once it is closed."""
    registration = Registration(home.run, "UT99L-0001", "ut-99l")
    assert running(home.run) == []
    registration.announce("/dev/pts/7")
    (entry,) = running(home.run)
    assert (entry.serial, entry.model, entry.port) == ("UT99L-0001", "ut-99l", "/dev/pts/7")
    registration.withdraw()
    assert running(home.run) == []
    registration.announce("/dev/pts/8")
    assert running(home.run)[0].port == "/dev/pts/8"
    registration.close()
    assert running(home.run) == []


def test_one_device_runs_once(home):
    """The same simulated device cannot run twice; the second is told who runs it."""
    registration = Registration(home.run, "UT99L-0001", "ut-99l")
    with pytest.raises(PortBusy, match="UT99L-0001 is in use by process"):
        Registration(home.run, "UT99L-0001", "ut-99l")
    registration.close()
    Registration(home.run, "UT99L-0001", "ut-99l").close()


def test_a_dead_process_leaves_nothing(home):
    """The entry of a killed process is not listed, is cleared away, and its device can run again."""
    code = (
        "import os, signal; from devices.home import Home; from devices.registry import Registration;"
        "Registration(Home.at().run, 'UT77L-0001', 'ut-77l').announce('/dev/pts/9'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    entry = home.run / "devices" / "UT77L-0001.json"
    assert entry.exists()
    assert running(home.run) == []
    assert not entry.exists()
    Registration(home.run, "UT77L-0001", "ut-77l").close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"serial": "x"}'])
def test_a_damaged_entry_hides_no_other(home, text):
    """A file that is no entry is passed over."""
    registration = Registration(home.run, "UT99L-0001", "ut-99l")
    registration.announce("/dev/pts/7")
    (home.run / "devices" / "A.json").write_text(text)
    assert [entry.serial for entry in running(home.run)] == ["UT99L-0001"]
    registration.close()


def test_only_ports_that_are_ours(home, usb_ports):
    """Without a named port only this site's USB ids and running simulated devices are asked; never another port."""
    assert candidates(home) == []
    home.add_usb_id(0x0403, 0x6001)
    registration = Registration(home.run, "UT99L-0001", "ut-99l")
    registration.announce("/dev/pts/7")
    assert candidates(home) == [USB, Candidate("/dev/pts/7", "simulated", "UT99L-0001")]
    registration.close()


def test_named_ports(home, usb_ports):
    """A named port is asked whatever it is, keeping what the bus knows of it; no other is."""
    home.add_usb_id(0x0403, 0x6001)
    assert candidates(home, ("COM9", USB.port)) == [Candidate("COM9", "named"), USB]
    assert one(home, "COM9") == Candidate("COM9", "named")


def test_the_only_one(home, usb_ports):
    """Without a name the only terminal is meant; none, or several, is refused with what to do."""
    with pytest.raises(PortNotFound, match="No terminal is attached"):
        one(home, None)
    home.add_usb_id(0x0403, 0x6001)
    assert one(home, None) == USB
    home.add_usb_id(0x1546, 0x01A7)
    with pytest.raises(PortNotFound, match="Several terminals are attached") as caught:
        one(home, None)
    assert "--port" in caught.value.hint


def test_found_again_by_the_bus(home, usb_ports):
    """After a reset a port is known by its USB serial number, else by its place; never by its name."""
    moved = Candidate("/dev/ttyUSB5", "usb", "FT1", "1-4", (0x0403, 0x6001))
    impostor = Candidate("/dev/ttyUSB0", "usb", "FT2", "1-2", (0x0403, 0x6001))
    usb_ports[:] = [impostor, moved]
    assert discovery._same(home, USB) == ["/dev/ttyUSB5"]
    nameless = Candidate("/dev/ttyUSB0", "usb", "", "1-2", (0x1A86, 0x7523))
    back = Candidate("/dev/ttyUSB3", "usb", "", "1-2", (0x1A86, 0x7523))
    usb_ports[:] = [Candidate("/dev/ttyUSB0", "usb", "", "1-9", (0x1A86, 0x7523)), back]
    assert discovery._same(home, nameless) == ["/dev/ttyUSB3"]


def test_does_not_come_back(home):
    """A terminal that does not come back is named, with what to do."""
    with pytest.raises(NoAnswer, match="UT99L-0001 did not come back") as caught:
        discovery.find_again(home, Candidate("/dev/pts/7", "simulated", "UT99L-0001"), "UT99L-0001", timeout_s=0.05)
    assert "same command again" in caught.value.hint


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0], 0),
        ([3, 3], 3),
        ([0, 3], 0),
        ([3, 4], EXIT_UNREACHABLE),
        ([0, 4, 5], EXIT_REFUSED),
        ([5, 1, 4], EXIT_FAILED),
        ([1, 130], 130),
    ],
)
def test_one_exit_code_for_several_ports(codes, code):
    """Several ports end with the first of 1, 5, 4, 0 that occurred; with 3 only if all had nothing to do."""
    assert worst(codes) == code


def test_entry_names_its_process(home):
    """An entry says which process runs the device."""
    import os

    registration = Registration(home.run, "S", "ut-99l")
    registration.announce("p")
    assert running(home.run) == [Registered("S", "ut-99l", "p", os.getpid())]
    registration.close()
