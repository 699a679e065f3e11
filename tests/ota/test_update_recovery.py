"""An agent that is killed, a terminal that loses power, a server that goes away: the same command again ends it."""

from __future__ import annotations

import functools
import hashlib
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.discovery import OpenTerminal, candidates
from devices.errors import Refused
from devices.link import DEFAULT_BAUD
from ota import http
from ota.agent import Outcome, Step
from ota.ddi import DdiClient, Execution
from ota.image import parse
from ota.plan import Rules
from ota.runner import update_one
from ota.trust import TrustStore
from simulators.make import Order
from simulators.updates.server import UpdateServer
from simulators.updates.store import Status
from simulators.world import usb_line
from terminal.firmware import make_image, release_text
from tests.ota.site import MODEL, NEW, OLD, SMALL, Site

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Pauses between attempts are tested elsewhere."""
    monkeypatch.setattr(http, "Patience", functools.partial(http.Patience, first_pause_s=0.001))


@pytest.fixture
def site(home, make_world):
    site = Site(home, make_world(Order(MODEL, OLD)))
    site.offer(NEW)
    return site


class Killed(BaseException):
    """The agent's process ends here."""


def kill_in(site: Site, step: Step) -> None:
    """Run the agent until it is about to perform `step`; where bytes move, half of them are over."""

    def tell(beat):
        half_way = beat.total and beat.done * 2 > beat.total
        if beat.step is step and (half_way or step not in (Step.DOWNLOAD, Step.TRANSFER)):
            raise Killed

    with pytest.raises(Killed):
        site.update(tell)


def ends_updated(site: Site, utbench) -> None:
    """The same command again: updated, verified, confirmed, and the server heard of success exactly once."""
    ran = utbench("ota", "update", "--port", site.port, "--json")
    (row,) = ran.rows
    assert ran.code == 0, row
    assert (row["outcome"], row["from"], row["to"], row["verified"]) == ("updated", OLD, NEW, True)
    assert site.running() == (NEW, True)
    assert site.action().status is Status.FINISHED
    assert [report.execution for report in site.action().reports].count("closed") == 1
    assert not list((site.home.agent / "devices").rglob("state.json"))


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.ROLL_BACK, Step.GIVE_WAY, Step.DONE)])
def test_killed_before_each_step(site, utbench, step):
    """Killed before any step, or in the middle of a transfer, the same command again ends updated and verified."""
    kill_in(site, step)
    ends_updated(site, utbench)


@pytest.mark.parametrize("step", ["restart", "verify"])
def test_process_killed(site, utbench, step):
    """The agent's process gets SIGKILL right at, or right after, the restart: the same command again ends updated."""
    argv = [sys.executable, "-m", "utbench", "--home", str(site.home.path), "ota", "update", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True) as agent:
        for line in agent.stdout:
            if json.loads(line).get("step") == step:
                agent.send_signal(signal.SIGKILL)
                break
    assert agent.returncode == -signal.SIGKILL
    ends_updated(site, utbench)


def test_transfer_goes_on(site, utbench):
    """A transfer that was broken off goes on at the offset that the terminal names, not from the beginning."""
    seen = []
    kill_in(site, Step.TRANSFER)
    site.update(lambda beat: seen.append(beat.done) if beat.step is Step.TRANSFER and beat.total else None)
    size = site.world.updates.store.release(f"{MODEL}-{NEW}.bin").size
    assert min(seen) * 2 > size
    assert seen[-1] == size


def test_unconfirmed_update_reverts(site, utbench):
    """A terminal that restarts before the agent has confirmed runs its old release again; then the update ends well."""
    kill_in(site, Step.CONFIRM)
    assert site.running() == (NEW, False)
    assert utbench("device", "reset", "--json").code == 0
    assert site.running() == (OLD, True)
    ends_updated(site, utbench)


def test_confirmed_update_stays(site, utbench):
    """A confirmed release is still there after a restart."""
    ends_updated(site, utbench)
    assert utbench("device", "reset", "--json").code == 0
    assert site.running() == (NEW, True)


def test_lost_report(site, utbench):
    """A server that goes away before the last report costs nothing: the terminal stays updated, and the report is
    sent by the next run, whatever the terminal runs by then."""
    updates = site.world.updates

    def tell(beat):
        if beat.step is Step.REPORT:
            updates.close()

    result = site.update(tell)
    assert (result.update.outcome, result.unsent, result.exit_code) == (Outcome.UPDATED, True, 0)
    assert site.running() == (NEW, True)
    assert updates.store.actions()[-1].status is Status.RUNNING

    again = utbench("ota", "update", "--port", site.port, "--json")
    assert (again.code, again.rows[0]["report_waits"]) == (0, True)
    port = int(updates.url.rpartition(":")[2])
    with UpdateServer(site.home.world / "updates", site.home.world / "terminals", site.world.clock, port) as back:
        site.world.updates = back
        ends_updated(site, utbench)


def test_cancelled(site, utbench):
    """A cancel is accepted before anything is sent; the terminal stays as it is."""
    before = site.flash()
    site.world.updates.store.cancel(site.action().id)
    ran = utbench("ota", "update", "--port", site.port, "--json")
    assert (ran.code, ran.rows[0]["outcome"]) == (3, "cancelled")
    assert site.action().status is Status.CANCELED
    assert site.flash() == before


def test_a_strange_image_on_trial(site, utbench):
    """Somebody else's image is on trial: it is let go back first, then the update ends as ever."""
    strange = make_image(release_text(MODEL, OLD), site.key_pem(), security_counter=2, asset_bytes=SMALL)
    with OpenTerminal(site.home, site.port) as terminal:
        terminal.upload(strange, hashlib.sha256(strange).digest())
        terminal.mark(parse(strange).digest)
    assert utbench("device", "reset", "--json").code == 0
    assert site.running() == (OLD, False)
    ends_updated(site, utbench)


def test_a_report_that_the_server_never_takes(site, utbench, monkeypatch):
    """A last report that is refused for good is not owed for ever: the update counts, the reason says what happened."""
    take = DdiClient.feedback

    def refuse(self, action, execution, *rest, **more):
        if execution is Execution.CLOSED:
            raise Refused("The update server forbids this (403).")
        take(self, action, execution, *rest, **more)

    monkeypatch.setattr(DdiClient, "feedback", refuse)
    ran = utbench("ota", "update", "--port", site.port, "--json")
    assert (ran.code, ran.rows[0]["outcome"], ran.rows[0]["report_waits"]) == (0, "updated", False)
    assert "403" in ran.rows[0]["reason"]
    assert not list((site.home.agent / "devices").rglob("state.json"))


def test_what_another_server_wanted_is_forgotten(site, utbench):
    """An update begun with a server that is gone does not stand in the way of the one that is trusted now."""
    kill_in(site, Step.REPORT)
    saved = next((site.home.agent / "devices").rglob("state.json"))
    saved.write_text(saved.read_text().replace(site.world.updates.url, "http://127.0.0.1:9"))
    ran = utbench("ota", "update", "--port", site.port, "--json")
    assert (ran.code, ran.rows[0]["outcome"]) == (3, "up-to-date")
    assert site.action().status is Status.FINISHED


def test_another_release_is_assigned_while_an_action_is_open(site, utbench):
    """A new assignment cancels the open one: a single run accepts that and installs what is wanted now."""
    first = site.action()
    kill_in(site, Step.TRANSFER)
    site.world.updates.store.assign(site.controller, f"{MODEL}-{OLD}.bin")
    assert utbench("ota", "update", "--port", site.port).code == 3  # the old release runs: nothing to do
    store = site.world.updates.store
    assert store.action(first.id).status is Status.CANCELED
    store.assign(site.controller, f"{MODEL}-{NEW}.bin")
    ends_updated(site, utbench)


def test_state_of_a_newer_utbench(site, utbench):
    """What a newer utbench has saved is not guessed at: the run is refused and the file kept."""
    path = site.home.agent / "devices" / site.world.devices[0].spec.serial / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 99}')
    ran = utbench("ota", "update", "--port", site.port, "--json")
    assert ran.code == 1
    assert "newer utbench" in ran.error()["message"]
    assert path.read_text() == '{"schema": 99}'


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1, "step": "dance"}', '{"schema": "x"}'])
def test_damaged_state(site, utbench, text):
    """A damaged memory counts as none: the terminal itself says how far it is."""
    kill_in(site, Step.VERIFY)
    path = site.home.agent / "devices" / site.world.devices[0].spec.serial / "state.json"
    path.write_text(text)
    ran = utbench("ota", "update", "--port", site.port, "--json")
    assert ran.code in (0, 3)
    assert ran.rows[0]["verified"] is True
    assert site.running() == (NEW, True)
    assert site.action().status is Status.FINISHED


def test_secrets_are_not_told(site, utbench):
    """Neither the token nor a key is in what the agent says or keeps outside its token file."""
    token = next(iter(json.loads(path.read_text())["token"] for path in (site.home.world / "terminals").glob("*.json")))
    ran = utbench("ota", "update", "--port", site.port, "--json")
    assert ran.code == 0
    assert token not in ran.out + ran.narration
    kept = [path for path in site.home.agent.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert [path.name for path in kept] == ["tokens.toml"]
    assert kept[0].stat().st_mode & 0o077 == 0


def test_found_again_wherever_it_is(home, make_world):
    """Terminals that leave the bus at their restart and come back under other names, or under each other's, are found
    by their serial numbers: each is updated, and the ports that are told are those where they are now."""
    orders = [Order(MODEL, OLD, number=number, line=usb_line()) for number in (1, 2)]
    world = make_world(*orders)
    with ThreadPoolExecutor(2) as pool:
        server = TrustStore(home.path).only()
        work = [
            pool.submit(update_one, home, one, server, Rules(), lambda _: None, baud=DEFAULT_BAUD)
            for one in candidates(home)
        ]
        results = [one.result() for one in work]
    assert [(result.update.verified, result.error) for result in results] == [(True, None)] * 2
    assert {result.update.serial: result.port for result in results} == world.ports


def test_stopped_while_the_terminal_starts(home, make_world, utbench):
    """Told to stop while a restarted terminal is awaited, the agent stops; the next run verifies and keeps it."""
    site = Site(home, make_world(Order(MODEL, OLD)))
    site.offer(NEW)

    def tell(beat):
        if beat.waiting or beat.step is Step.CONFIRM:
            raise Killed

    with pytest.raises(Killed):
        site.update(tell)
    assert site.running() == (NEW, False)
    ends_updated(site, utbench)
