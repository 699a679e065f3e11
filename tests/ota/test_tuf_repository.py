from __future__ import annotations

import datetime as dt
import json
import stat
import sys

import pytest

import ota.tuf_repository as module
from devices.clock import FixedClock
from devices.errors import Refused, UsageError
from ota.trust import TrustStore
from ota.tuf_client import Targets
from ota.tuf_repository import TufRepository
from tests.ota.scripted import Scripted

CUSTOM = {"model": "UT-99L", "payment_version": 1004, "release_counter": 1004}
NAME = "UT-99L-1004.bin"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def clock():
    return FixedClock(NOW)


@pytest.fixture
def repository(tmp_path, clock):
    return TufRepository.create(tmp_path / "tuf", tmp_path / "keys", clock)


def read(repository, name):
    return json.loads((repository.metadata / name).read_text())["signed"]


def files(repository):
    return sorted(path.name for path in repository.metadata.iterdir())


def test_layout(repository, tmp_path):
    """A new repository has consistent snapshots, a root of two keys out of three and one key a role below."""
    assert files(repository) == ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]
    root = read(repository, "1.root.json")
    assert root["consistent_snapshot"] is True
    thresholds = {role: (len(value["keyids"]), value["threshold"]) for role, value in root["roles"].items()}
    assert thresholds == {"root": (3, 2), "targets": (1, 1), "snapshot": (1, 1), "timestamp": (1, 1)}
    assert {key["keytype"] for key in root["keys"].values()} == {"ed25519"}
    keys = list((tmp_path / "keys").iterdir())
    assert len(keys) == 6
    if sys.platform != "win32":
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_create_once(repository, tmp_path):
    """An existing repository is never made anew."""
    with pytest.raises(UsageError):
        TufRepository.create(tmp_path / "tuf", tmp_path / "keys")


def test_publish(repository):
    """A release is signed with its length, hash and what it is for, and its bytes lie under their hash."""
    info = repository.publish(NAME, b"bytes", CUSTOM)
    assert (info.length, info.custom) == (5, CUSTOM)
    assert repository.path(NAME).read_bytes() == b"bytes"
    assert repository.path(NAME).name == f"{info.hashes['sha256']}.{NAME}"
    assert read(repository, "timestamp.json")["meta"]["snapshot.json"]["version"] == 2
    assert read(repository, "2.targets.json")["targets"][NAME]["custom"] == CUSTOM


def test_publish_again(repository):
    """Publishing the same again signs nothing; other bytes under the name are refused unless asked for."""
    repository.publish(NAME, b"bytes", CUSTOM)
    before = files(repository)
    repository.publish(NAME, b"bytes", CUSTOM)
    assert files(repository) == before
    with pytest.raises(Refused):
        repository.publish(NAME, b"other", CUSTOM)
    assert repository.path(NAME).read_bytes() == b"bytes"
    repository.publish(NAME, b"other", CUSTOM, replace=True)
    assert repository.path(NAME).read_bytes() == b"other"


def test_names(repository):
    """A name that could lead elsewhere is not published, and an unknown one is said to be unknown."""
    with pytest.raises(UsageError):
        repository.publish("../x", b"bytes", CUSTOM)
    with pytest.raises(UsageError):
        repository.path("nothing.bin")


def test_refresh(repository, clock):
    """Refreshing signs timestamp and snapshot anew, root and targets only when half of their life is over."""
    clock.set(NOW + dt.timedelta(days=1))
    repository.refresh()
    assert read(repository, "timestamp.json")["expires"] == "2026-01-03T00:00:00Z"
    assert files(repository) == [
        "1.root.json",
        "1.snapshot.json",
        "1.targets.json",
        "2.snapshot.json",
        "timestamp.json",
    ]
    clock.set(NOW + dt.timedelta(days=60))
    repository.refresh()
    assert {"2.targets.json"} <= set(files(repository))
    assert "2.root.json" not in files(repository)
    clock.set(NOW + dt.timedelta(days=200))
    repository.refresh()
    assert "2.root.json" in files(repository)


def test_keep_fresh(repository, clock):
    """A timestamp is signed anew when half of its life is over, and not before."""
    before = (repository.metadata / "timestamp.json").read_bytes()
    clock.set(NOW + dt.timedelta(hours=11))
    repository.keep_fresh()
    assert (repository.metadata / "timestamp.json").read_bytes() == before
    clock.set(NOW + dt.timedelta(hours=13))
    repository.keep_fresh()
    assert (repository.metadata / "timestamp.json").read_bytes() != before


def test_missing_key(repository, tmp_path):
    """Without its key a role cannot be signed, and that is said, with nothing published."""
    for key in (tmp_path / "keys").iterdir():
        key.unlink()
    with pytest.raises(Refused, match="key"):
        repository.publish(NAME, b"bytes", CUSTOM)
    assert repository.released == {}


def test_unknown_role(repository):
    """Only TUF's own roles have keys to rotate."""
    with pytest.raises(UsageError):
        repository.rotate("mirror")


class Killed(BaseException):
    """The process ends here."""


def killed_at(monkeypatch, operation):
    """Let the n-th save, counted from 0, never happen."""
    real, count = module.save_bytes, iter(range(1000))

    def save(path, data, *, secret=False):
        if next(count) == operation:
            raise Killed
        real(path, data, secret=secret)

    monkeypatch.setattr(module, "save_bytes", save)


@pytest.mark.parametrize("operation", range(4))
def test_killed_while_publishing(tmp_path, monkeypatch, operation):
    """A publisher killed at any write leaves clients the old state; publishing again completes the new one."""
    repository = TufRepository.create(tmp_path / "tuf", tmp_path / "keys")

    def script(exchange):
        path = tmp_path / exchange.path.lstrip("/")
        exchange.answer(200, path.read_bytes()) if path.exists() else exchange.answer(404)

    with Scripted(script) as server:
        pinned = TrustStore(tmp_path / "home").pin("s", server.url, repository.root_bytes)
        targets = Targets(pinned, tmp_path / "home")
        with monkeypatch.context() as patch:
            killed_at(patch, operation)
            with pytest.raises(Killed):
                repository.publish(NAME, b"bytes", CUSTOM)
        with pytest.raises(Refused, match="not signed any"):
            targets.target(NAME)
        repository.publish(NAME, b"bytes", CUSTOM)
        assert targets.target(NAME).size == 5


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
@pytest.mark.parametrize("operation", range(1, 5))
def test_killed_while_rotating(tmp_path, monkeypatch, role, operation):
    """A publisher killed at any write of a rotation is whole again after the next start's refresh."""
    repository = TufRepository.create(tmp_path / "tuf", tmp_path / "keys")
    repository.publish(NAME, b"bytes", CUSTOM)

    def script(exchange):
        path = tmp_path / exchange.path.lstrip("/")
        exchange.answer(200, path.read_bytes()) if path.exists() else exchange.answer(404)

    with Scripted(script) as server:
        pinned = TrustStore(tmp_path / "home").pin("s", server.url, repository.root_bytes)
        targets = Targets(pinned, tmp_path / "home")
        assert targets.target(NAME).size == 5
        with monkeypatch.context() as patch:
            killed_at(patch, operation)
            try:
                repository.rotate(role)
            except Killed:
                TufRepository(tmp_path / "tuf", tmp_path / "keys").refresh()
        assert targets.target(NAME).size == 5
