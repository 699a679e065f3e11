"""`utbench device adopt`: which USB ids are terminals at this site."""

from __future__ import annotations

from devices import discovery
from devices.discovery import Candidate


def test_an_adopted_adapter_is_found_from_then_on(home, utbench, monkeypatch):
    """Until its ids are adopted no USB port is a candidate; afterwards those with these ids are."""
    ports = [
        Candidate("/dev/ttyUSB0", "usb", "A1", "1-1", (0x1A86, 0x7523)),
        Candidate("/dev/ttyUSB1", "usb", "B2", "1-2", (0x0403, 0x6001)),
    ]
    monkeypatch.setattr(discovery, "serial_ports", lambda: ports)
    assert discovery.candidates(home) == []
    ran = utbench("device", "adopt", "/dev/ttyUSB0", "--json")
    assert ran.code == 0
    assert next(one["usb_id"] for one in ran.events if one["event"] == "adopted") == "1a86:7523"
    assert discovery.candidates(home) == ports[:1]


def test_what_is_no_usb_port_is_not_adopted(home, utbench, monkeypatch):
    """A name that no USB adapter has is a usage error that lists those there are, and the site's list stays empty."""
    monkeypatch.setattr(discovery, "serial_ports", lambda: [Candidate("/dev/ttyUSB0", "usb", "", "", (1, 2))])
    ran = utbench("device", "adopt", "/dev/nope", "--json")
    assert ran.code == 2
    assert "/dev/ttyUSB0" in ran.error()["hint"]
    assert home.usb_ids() == frozenset()
