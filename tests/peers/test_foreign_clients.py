"""Clients that nobody here wrote update a simulated terminal, and agree with ours about what it then is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from devices.home import Home
from devices.link import open_link
from devices.terminal import Terminal
from ota.image import parse
from terminal.firmware import make_image, release_text
from tests.peers.foreign import ROOT, run_client, sim_device, smpmgr

OLD, NEW = 1013, 1014
SMALL_BYTES = 32 * 1024  # of assets: smpmgr polls, and half a megabyte takes it half a minute

CLIENTS = [
    pytest.param("smpclient", "pty", marks=pytest.mark.peer("smpclient")),
    pytest.param("smpclient", "tcp", marks=pytest.mark.peer("smpclient")),
    pytest.param("mcumgr-toolkit", "pty", marks=pytest.mark.peer("mcumgr-toolkit")),
]


@pytest.fixture(params=["pty"])
def line(request):
    return request.param


@pytest.fixture
def port(line, tmp_path):
    with sim_device(tmp_path / "home", *(("--tcp", "0") if line == "tcp" else ())) as name:
        yield name


@pytest.fixture
def device(port, tmp_path):
    """Call it, and our own client reads from the device: payment version, and (version, pending, confirmed) by slot."""

    def look():
        with Terminal(open_link(port, Home(tmp_path / "home"))) as terminal:
            slots = [(one.version, one.pending, one.confirmed) for one in terminal.slots()]
            return terminal.identity().payment_version, slots

    return look


@pytest.fixture
def key_file(port, tmp_path):
    """The key whose images the device boots: made with the device, so there only once it runs."""
    return tmp_path / "home" / "world" / "keys" / "image.pem"


@pytest.fixture
def built(key_file, tmp_path):
    """The new release, made as a person would make it."""
    out = tmp_path / "ut-77l-1014.bin"
    words = ["image", "build", "--model", "ut-77l", "--release", str(NEW), "--key", str(key_file), "-o", str(out)]
    subprocess.run([sys.executable, "-m", "utbench", *words], cwd=ROOT, check=True, capture_output=True)
    return out


@pytest.fixture
def small(key_file, tmp_path):
    """The same release with less beside it."""
    out = tmp_path / "small.bin"
    out.write_bytes(make_image(release_text("ut-77l", NEW), key_file.read_bytes(), asset_bytes=SMALL_BYTES))
    return out


def seen(listing):
    return [(one["version"], one["pending"], one["confirmed"]) for one in listing]


@pytest.mark.parametrize(("client", "line"), CLIENTS, indirect=["line"])
def test_a_foreign_client_makes_the_whole_update(client, port, device, built):
    """Echo, list, upload, test, reset, list, confirm: both clients see the old one, the trial and the new one kept."""
    digest = parse(built.read_bytes()).digest.hex()
    before = [("1.0.1013", False, True)]
    assert device() == (OLD, before)

    echo, listing, _marks, marked, _reset = run_client(
        client, port, "echo:발달재활 1014", "list", f"upload:{built}@60", f"test:{digest}", "reset"
    )
    assert echo == "발달재활 1014"
    assert seen(listing) == before
    assert seen(marked) == [("1.0.1013", False, True), ("1.0.1014", True, False)]
    assert marked[1]["hash"] == digest

    on_trial = [("1.0.1014", False, False), ("1.0.1013", False, True)]
    assert device() == (NEW, on_trial)
    listing, confirmed = run_client(client, port, "list", "confirm")
    kept = [("1.0.1014", False, True), ("1.0.1013", False, False)]
    assert seen(listing) == on_trial
    assert listing[0]["active"]
    assert seen(confirmed) == kept
    assert device() == (NEW, kept)


@pytest.mark.parametrize(("client", "line"), CLIENTS[:1] + CLIENTS[2:], indirect=["line"])
def test_without_a_confirmation_the_next_reset_goes_back(client, port, device, small):
    """An image that a foreign client tests and does not confirm is gone after another reset of that client's."""
    digest = parse(small.read_bytes()).digest.hex()
    run_client(client, port, f"upload:{small}@60", f"test:{digest}", "reset")
    assert device()[0] == NEW
    run_client(client, port, "reset")
    assert device()[0] == OLD
    (listing,) = run_client(client, port, "list")
    assert seen(listing)[0] == ("1.0.1013", False, True)


@pytest.mark.peer("smpmgr")
def test_smpmgr_makes_the_whole_update(port, device, small):
    """smpmgr's own commands, one process each: echo, upload, mark, reset, confirm, and it lists the new one."""
    digest = parse(small.read_bytes()).digest.hex()
    assert "hello 1014" in smpmgr(port, "os", "echo", "hello 1014")
    assert "version='1.0.1013'" in smpmgr(port, "image", "state-read")
    smpmgr(port, "image", "upload", str(small))
    smpmgr(port, "image", "state-write", digest)
    assert device() == (OLD, [("1.0.1013", False, True), ("1.0.1014", True, False)])
    smpmgr(port, "os", "reset")
    assert device() == (NEW, [("1.0.1014", False, False), ("1.0.1013", False, True)])
    smpmgr(port, "image", "state-write", "--confirm")
    assert device() == (NEW, [("1.0.1014", False, True), ("1.0.1013", False, False)])
    active = next(line for line in smpmgr(port, "image", "state-read").splitlines() if "active=True" in line)
    assert "version='1.0.1014'" in active
    assert "confirmed=True" in active


@pytest.mark.peer("smpmgr")
def test_smpmgr_upgrade_with_its_slot_named_boots_the_new_release(port, device, small):
    """`smpmgr upgrade --slot 1` uploads, marks and resets in one command, and the new release runs on trial."""
    smpmgr(port, "upgrade", "--slot", "1", str(small))
    assert device() == (NEW, [("1.0.1014", False, False), ("1.0.1013", False, True)])


@pytest.mark.peer("smpmgr")
def test_a_hash_that_no_slot_holds_changes_nothing(port, device, small):
    """smpmgr exits 0 although the device refuses to mark an unknown image: the device is as it was before."""
    smpmgr(port, "image", "upload", str(small))
    before = device()
    said = smpmgr(port, "image", "state-write", "ab" * 32)
    assert "rc" in said
    assert device() == before == (OLD, [("1.0.1013", False, True), ("1.0.1014", False, False)])
