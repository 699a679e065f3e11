"""`utbench ota …` as its users meet it: exit codes, JSON lines, sentences, and a terminal that nothing harms."""

from __future__ import annotations

import functools
import shutil

import pytest

from devices.discovery import OpenTerminal
from devices.profiles import FIRMWARE_MODELS, profile
from ota import http
from ota.trust import TokenStore
from simulators.keys import private_pem
from simulators.make import Order
from simulators.updates.store import Status
from tests.ota.site import MODEL, NEW, OLD, STRANGER, Site

ROW = {"port", "model", "serial", "from", "to", "verified", "outcome", "reason"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Pauses between attempts are tested elsewhere."""
    monkeypatch.setattr(http, "Patience", functools.partial(http.Patience, first_pause_s=0.001))


@pytest.fixture
def make_site(home, make_world):
    def make(release=OLD, **order) -> Site:
        return Site(home, make_world(Order(MODEL, release, **order)))

    return make


@pytest.fixture
def site(make_site):
    return make_site()


def is_one_sentence(ran) -> None:
    """An `error` line under --json, the same sentence on stderr, a hint, and no trace of the program's inside."""
    error = ran.error()
    assert error["message"].endswith(".")
    assert error["hint"].endswith((".", "FILE", "TEXT", ")")), error["hint"]
    assert "\n" not in error["message"] + error["hint"]
    assert sum(error["message"] in line for line in ran.narration.splitlines()) == 1
    for word in ("Traceback", "Error:", "Exception", "inside utbench"):
        assert word not in ran.out + ran.narration


def refused(site, utbench, code, says, *words):
    """The update is refused with `code` and a sentence, and the terminal is, to the byte, as before."""
    before = site.flash(), site.slots()
    ran = utbench("ota", "update", "--port", site.port, "--json", *words)
    assert ran.code == ran.result["exit"] == code
    is_one_sentence(ran)
    assert says in ran.error()["message"] + ran.error()["hint"]
    assert (site.flash(), site.slots()) == before
    return ran


# -- what it is for


def test_update_all(home, make_world, utbench):
    """One command brings three old terminals to 1004, 1014 and 1021, each verified on the running device."""
    world = make_world(*(Order(model, profile(model).old_release) for model in FIRMWARE_MODELS))
    ran = utbench("ota", "update", "--all", "--json")
    assert ran.code == 0
    assert all({"schema", "event"} <= set(event) for event in ran.events)
    assert all(set(row) >= ROW for row in ran.rows)
    assert {row["serial"]: (row["model"], row["from"], row["to"]) for row in ran.rows} == {
        "UT99L-0001": ("ut-99l", 1003, 1004),
        "UT77L-0001": ("ut-77l", 1013, 1014),
        "UT55L-0001": ("ut-55l", 1020, 1021),
    }
    assert {(row["verified"], row["outcome"]) for row in ran.rows} == {(True, "updated")}
    for device in world.devices:
        port = world.ports[device.spec.serial]
        steps = [event["step"] for event in ran.events if event["event"] == "step" and event["port"] == port]
        assert steps[0] == "identify"
        assert steps[-4:] == ["restart", "verify", "confirm", "report"]
        with OpenTerminal(home, port) as terminal:
            assert terminal.identity().payment_version == profile(device.spec.model).new_release
    assert {action.status for action in world.updates.store.actions()} == {Status.FINISHED}

    again = utbench("ota", "update", "--all", "--json")
    assert again.code == 3
    assert {row["outcome"] for row in again.rows} == {"nothing-assigned"}


@pytest.mark.parametrize("words", [["check"], ["update", "--dry-run"]])
def test_looking_changes_nothing(site, utbench, words):
    """check and --dry-run show the plan; terminal, agent's memory and server stay as they were."""
    before = site.flash(), site.slots(), site.world.updates.store.actions()
    ran = utbench("ota", *words, "--port", site.port, "--json")
    assert ran.code == 0
    (row,) = ran.rows
    assert (row["outcome"], row["from"], row["to"], row["verified"]) == ("planned", OLD, NEW, False)
    assert f"{OLD} → {NEW}" in row["reason"]
    assert (site.flash(), site.slots(), site.world.updates.store.actions()) == before
    assert site.world.updates.store.attributes(site.controller) == {}
    assert not (site.home.agent / "devices").exists()
    assert not list((site.home.agent / "cache").rglob("*.bin*"))


def test_up_to_date(make_site, utbench):
    """A terminal that runs the wanted release is verified, not written; exit code 3, and the server hears success."""
    site = make_site(NEW)
    before = site.flash()
    assert utbench("ota", "check", "--port", site.port, "--json").code == 3
    ran = utbench("ota", "update", "--port", site.port, "--json")
    (row,) = ran.rows
    assert (ran.code, row["outcome"], row["verified"]) == (3, "up-to-date", True)
    assert site.flash() == before
    assert site.action().status is Status.FINISHED


def test_people_are_told_in_words(site, utbench):
    """Without --json stdout is a table with the outcome, and every step is narrated on stderr."""
    ran = utbench("ota", "update")
    assert ran.code == 0
    assert f"it runs {NEW}, and its screen says so" in ran.out.splitlines()[-1]
    assert "keeping the new image" in ran.narration


# -- why not


@pytest.mark.parametrize("name", ["/dev/ttyUSB99", "file"])
def test_no_such_port(home, make_site, utbench, tmp_path, name):
    """A port that does not exist, or is a file, is exit code 4 and one sentence; the file is left alone."""
    make_site()
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    ran = utbench("ota", "update", "--port", str(path) if name == "file" else name, "--json")
    assert ran.code == 4
    is_one_sentence(ran)
    assert path.read_text() == "mine"


def test_port_in_use(site, utbench):
    """A port that another program holds is exit code 4, with its process, and that one is not disturbed."""
    with OpenTerminal(site.home, site.port) as holder:
        ran = utbench("ota", "update", "--port", site.port, "--json")
        assert ran.code == 4
        is_one_sentence(ran)
        assert "in use by process" in ran.error()["message"]
        assert holder.echo("still here") == "still here"


def test_nobody_at_the_port(site, utbench):
    """A port at which no terminal answers is exit code 4."""
    import os
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    ran = utbench("ota", "update", "--port", os.ttyname(slave), "--json")
    assert ran.code == 4
    is_one_sentence(ran)
    assert ran.error()["code"] == "not-a-terminal"
    os.close(slave)
    os.close(master)


def test_nothing_attached(home, make_world, utbench):
    """With no terminal attached --all is exit code 4, and so is naming none."""
    make_world()
    for words in (["--all"], []):
        ran = utbench("ota", "update", *words, "--json")
        assert ran.code == 4
        is_one_sentence(ran)


def test_unknown_to_the_server(make_site, utbench):
    """Without a token, and with a wrong one, the terminal is refused with what to do; nothing is written."""
    site = make_site(registered=False)
    refused(site, utbench, 5, "No update token is kept for ut-77l-UT77L-0001")
    TokenStore(site.home.path).enrol(site.controller, "0123456789abcdef")
    refused(site, utbench, 5, "token")


def test_untrusted_server(site, utbench):
    """A server that nobody pinned is refused, named or not, with how to pin it."""
    refused(site, utbench, 5, "utbench ota trust", "--server", "http://127.0.0.1:9")
    shutil.rmtree(site.home.agent / "trust")
    refused(site, utbench, 5, "trusts no update server yet")


def test_server_down(site, utbench):
    """A server that cannot be reached is exit code 4, and the same command is the way on."""
    site.world.updates.close()
    refused(site, utbench, 4, "run the same command again")


def test_image_of_another_model(site, utbench):
    """A release for another model is refused before it is fetched, whatever the server assigned."""
    from simulators.make import world_image

    site.world.updates.store.publish(world_image(site.home, "ut-55l", 1021))
    site.assign("ut-55l-1021.bin")
    refused(site, utbench, 5, "is for a ut-55l; this terminal is a ut-77l")


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_damaged_mirror(site, utbench, damage):
    """A server that hands out other bytes than the publisher signed is refused; nothing is kept of them."""
    path = site.world.updates.store.release(f"{MODEL}-{NEW}.bin").path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data if damage == "changed" else data[:-1000])
    refused(site, utbench, 5, "signed")
    assert not list((site.home.agent / "cache" / "world" / "targets").glob(f"{MODEL}*"))


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_damaged_cache(site, utbench, damage):
    """A damaged file in the agent's cache is noticed and fetched again: the update succeeds."""
    path = site.home.agent / "cache" / "world" / "targets" / f"{MODEL}-{NEW}.bin"
    image = site.world.updates.store.release(path.name).path.read_bytes()
    path.parent.mkdir(parents=True)
    path.write_bytes({"truncated": image[:-1], "changed": image[:-1] + b"!", "empty": b""}[damage])
    assert utbench("ota", "update", "--port", site.port, "--json").rows[0]["verified"] is True
    assert path.read_bytes() == image


def test_downgrade(make_site, utbench):
    """An older release needs its flag and a reason; with both 소급결제 is gone from the pages, the reason kept."""
    site = make_site(NEW)
    assert site.offers_retroactive()
    site.offer(OLD)
    refused(site, utbench, 5, "older than the 1014")
    refused(site, utbench, 5, "--reason TEXT", "--allow-downgrade")
    refused(site, utbench, 5, "--allow-downgrade", "--reason", "신고")
    ran = utbench("ota", "update", "--port", site.port, "--json", "--allow-downgrade", "--reason", "1014 신고 접수")
    (row,) = ran.rows
    assert (ran.code, row["from"], row["to"], row["verified"]) == (0, NEW, OLD, True)
    assert row["overrides"] == ["downgrade: 1014 신고 접수"]
    assert not site.offers_retroactive()


def test_low_battery(make_site, utbench):
    """A battery at 10 % refuses; --despite-battery lifts it and is recorded."""
    site = make_site(battery=10)
    refused(site, utbench, 5, "10 %, under 30 %")
    ran = utbench("ota", "update", "--port", site.port, "--json", "--despite-battery")
    assert ran.code == 0
    assert ran.rows[0]["overrides"] == ["despite-battery"]


def test_payment_in_progress(site, utbench):
    """A payment that is open on the terminal refuses, and stays open."""
    with OpenTerminal(site.home, site.port) as terminal:
        assert terminal.wait(text="발달재활") is not None  # it has started
        terminal.touch("발달재활")
        terminal.touch("카드결제")
        page = terminal.tap("recipient-070101").screen
        assert terminal.status().busy
    refused(site, utbench, 5, "payment is in progress")
    with OpenTerminal(site.home, site.port) as terminal:
        assert terminal.screen().screen == page


@pytest.mark.parametrize("kind", ["wrong key", "broken release"])
def test_an_image_that_does_not_run(site, utbench, kind):
    """An image signed by another key, or with a release that fails its self-test, never stays: the old one runs,
    confirmed, exit code 1, and the server hears of the failure."""
    if kind == "wrong key":
        site.offer(NEW, key_pem=private_pem(STRANGER))
    else:
        site.offer(NEW, site.broken_release())
    slot = site.slots()[0]
    ran = utbench("ota", "update", "--port", site.port, "--json")
    (row,) = ran.rows
    assert (ran.code, row["outcome"], row["verified"]) == (1, "failed", False)
    assert "refused or reverted" in row["reason"]
    assert site.slots()[0] == slot
    assert site.running() == (OLD, True)
    assert site.action().status is Status.FAILED
    assert "refused or reverted" in " ".join(site.action().reports[-1].details)


def test_security_floor(site, utbench):
    """An image whose security counter is below the floor never boots, not even with a downgrade's flags."""
    site.offer(NEW, counter=2)
    assert utbench("ota", "update", "--port", site.port, "--json").code == 0
    site.offer(OLD, counter=1)
    slot = site.slots()[0]
    words = ["--allow-downgrade", "--reason", "신고"]
    ran = utbench("ota", "update", "--port", site.port, "--json", *words)
    assert (ran.code, ran.rows[0]["outcome"]) == (1, "failed")
    assert site.running() == (NEW, True)
    assert site.slots()[0] == slot
    assert site.action().status is Status.FAILED


def test_one_bad_terminal_does_not_stop_the_others(home, make_world, utbench):
    """Of two terminals the one that may is updated; the exit code is that of the one that may not."""
    make_world(Order("ut-77l", 1013, battery=5), Order("ut-55l", 1020))
    ran = utbench("ota", "update", "--all", "--json")
    assert ran.code == 5
    assert {row["model"]: row["outcome"] for row in ran.rows} == {"ut-77l": "refused", "ut-55l": "updated"}
    is_one_sentence(ran)


@pytest.mark.parametrize(
    "words",
    [
        ["ota", "update", "--port", "x", "--all"],
        ["ota", "update", "--prot", "x"],
        ["ota", "upgrade"],
        ["device", "press", "seven"],
        ["device", "wait"],
        ["ota", "enrol"],
        ["image", "build", "-o", "x"],
        ["nonsense"],
    ],
)
def test_usage(utbench, words):
    """Wrong words are exit code 2, one sentence and where to look; under --json an error line as well."""
    ran = utbench(*words, "--json")
    assert ran.code == 2
    assert len(ran.narration.splitlines()) == 1
    assert [event["event"] for event in ran.events] == ["error", "result"]
    assert ran.result["exit"] == 2
