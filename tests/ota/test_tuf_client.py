from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil

import pytest
from tuf.api.metadata import Metadata

from devices.clock import FixedClock
from devices.errors import Refused, RemoteProtocolError, Unreachable
from ota.http import Http
from ota.trust import TrustStore
from ota.tuf_client import Targets
from ota.tuf_repository import TufRepository
from tests.ota.scripted import Scripted

NAME = "UT-99L-1004.bin"


def custom(version=1004):
    return {"model": "UT-99L", "payment_version": version, "release_counter": version}


@pytest.fixture
def repository(tmp_path):
    made = TufRepository.create(tmp_path / "site/tuf", tmp_path / "keys")
    made.publish(NAME, b"bytes", custom())
    return made


@pytest.fixture
def server(tmp_path):
    """Serves the folder `site`, whatever a test makes of it."""

    def script(exchange):
        path = tmp_path / "site" / exchange.path.lstrip("/")
        exchange.answer(200, path.read_bytes()) if path.is_file() else exchange.answer(404)

    with Scripted(script) as running:
        yield running


@pytest.fixture
def targets(tmp_path, repository, server):
    pinned = TrustStore(tmp_path / "home").pin("site", server.url, repository.root_bytes)
    return Targets(pinned, tmp_path / "home", Http(sleep=lambda _: None))


def timestamp(repository):
    return repository.metadata / "timestamp.json"


def test_target(targets):
    """What was published is what the client reports, to the byte and the counter."""
    found = targets.target(NAME)
    assert (found.name, found.size, found.sha256) == (NAME, 5, hashlib.sha256(b"bytes").hexdigest())
    assert (found.model, found.payment_version, found.release_counter) == ("UT-99L", 1004, 1004)


def test_new_release(targets, repository):
    """A release published between two questions is found by the second."""
    with pytest.raises(Refused, match="not signed any"):
        targets.target("UT-99L-1005.bin")
    repository.publish("UT-99L-1005.bin", b"more bytes", custom(1005))
    assert targets.target("UT-99L-1005.bin").payment_version == 1005


@pytest.mark.parametrize(
    "bad", [{}, {"model": "UT-99L"}, {**custom(), "payment_version": "1004"}, custom(True), custom(-1)]
)
def test_no_release(targets, repository, bad):
    """A signed file that is not described as a release is refused."""
    repository.publish("x.bin", b"bytes", bad)
    with pytest.raises(Refused, match="not as a release"):
        targets.target("x.bin")


def test_expired(tmp_path, server):
    """Expired metadata is refused with a word on this PC's clock."""
    old = FixedClock(dt.datetime.now(dt.UTC) - dt.timedelta(days=2))
    repository = TufRepository.create(tmp_path / "site/tuf", tmp_path / "keys", old)
    repository.publish(NAME, b"bytes", custom())
    pinned = TrustStore(tmp_path / "home").pin("site", server.url, repository.root_bytes)
    with pytest.raises(Refused, match="expired") as refused:
        Targets(pinned, tmp_path / "home").target(NAME)
    assert "clock" in refused.value.hint
    old.set(dt.datetime.now(dt.UTC))
    repository.refresh()
    assert Targets(pinned, tmp_path / "home").target(NAME).size == 5


def test_rollback(targets, repository, tmp_path):
    """A server that goes back to an older state is refused, by a later run too."""
    shutil.copytree(tmp_path / "site", tmp_path / "old")
    repository.publish("UT-99L-1005.bin", b"more bytes", custom(1005))
    targets.target("UT-99L-1005.bin")
    shutil.rmtree(tmp_path / "site")
    shutil.copytree(tmp_path / "old", tmp_path / "site")
    with pytest.raises(Refused, match="older"):
        targets.target(NAME)


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_mix_and_match(targets, repository, role):
    """An older file of one role under the new name, rightly signed as it is, does not pass."""
    repository.publish("UT-99L-1005.bin", b"more bytes", custom(1005))
    older = repository._newest(role).with_name(f"2.{role}.json")
    repository._newest(role).write_bytes(older.read_bytes())
    with pytest.raises(Refused, match="belong together"):
        targets.target(NAME)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_tampered(targets, repository, role):
    """One changed value in any file is refused."""
    path = timestamp(repository) if role == "timestamp" else repository._newest(role)
    metadata = json.loads(path.read_text())
    metadata["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(metadata))
    with pytest.raises(Refused):
        targets.target(NAME)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[]", b"[" * 3000])
def test_garbage(targets, repository, data):
    """Garbage in place of metadata is refused."""
    timestamp(repository).write_bytes(data)
    with pytest.raises(Refused):
        targets.target(NAME)


def test_endless(targets, repository):
    """Metadata larger than any honest one is refused, not read to its end."""
    timestamp(repository).write_bytes(b" " * (1 << 20))
    with pytest.raises(Refused, match="more metadata"):
        targets.target(NAME)


def test_other_publisher(targets, repository, tmp_path):
    """Another publisher's repository at the same address, complete and consistent, is refused."""
    shutil.rmtree(tmp_path / "site")
    other = TufRepository.create(tmp_path / "site/tuf", tmp_path / "other-keys")
    other.publish(NAME, b"evil!", custom())
    with pytest.raises(Refused, match="not signed by the keys"):
        targets.target(NAME)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_rotation(targets, repository, role):
    """A rotated key of any role is accepted, before and after the client has seen the one before."""
    repository.rotate(role)
    assert targets.target(NAME).size == 5
    repository.rotate(role)
    repository.rotate(role)
    assert targets.target(NAME).size == 5


def test_stolen_rotation(targets, repository, tmp_path):
    """A new root that lacks the old root's two signatures is refused."""
    repository.rotate("timestamp")
    path = repository._newest("root")
    root = Metadata.from_bytes(path.read_bytes())
    for keyid in list(root.signatures)[1:]:
        del root.signatures[keyid]
    path.write_bytes(root.to_bytes())
    with pytest.raises(Refused, match="not signed by the keys"):
        targets.target(NAME)


def test_pinned_again(targets, repository, tmp_path, server):
    """After a publisher started over with new keys, pinning its new root is enough."""
    targets.target(NAME)
    shutil.rmtree(tmp_path / "site")
    fresh = TufRepository.create(tmp_path / "site/tuf", tmp_path / "fresh-keys")
    fresh.publish(NAME, b"other", custom())
    pinned = TrustStore(tmp_path / "home").pin("site", server.url, fresh.root_bytes)
    assert Targets(pinned, tmp_path / "home").target(NAME).sha256 == hashlib.sha256(b"other").hexdigest()


def test_damaged_cache(targets, tmp_path):
    """A cache damaged on this PC is fetched anew."""
    targets.target(NAME)
    for path in (tmp_path / "home/agent/cache/site/metadata").rglob("*.json"):
        path.resolve().write_bytes(b"oops")
    assert targets.target(NAME).size == 5


def test_nothing_there(targets, tmp_path):
    """An address without TUF metadata is named."""
    shutil.rmtree(tmp_path / "site")
    with pytest.raises(RemoteProtocolError, match="/tuf/metadata"):
        targets.target(NAME)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_in_trouble(repository, tmp_path, status):
    """A server in trouble is asked a bounded number of times and then called unreachable."""
    pauses = []
    with Scripted(lambda exchange: exchange.answer(status)) as server:
        pinned = TrustStore(tmp_path / "home").pin("site", server.url, repository.root_bytes)
        with pytest.raises(Unreachable):
            Targets(pinned, tmp_path / "home", Http(sleep=pauses.append)).target(NAME)
    assert len(pauses) == 4


def test_cut_metadata(repository, tmp_path):
    """Metadata that breaks off in the middle is an unreachable server, not a forged one."""
    with Scripted(lambda exchange: exchange.answer(200, b"{", 1000)) as server:
        pinned = TrustStore(tmp_path / "home").pin("site", server.url, repository.root_bytes)
        with pytest.raises(Unreachable):
            Targets(pinned, tmp_path / "home", Http(sleep=lambda _: None)).target(NAME)
