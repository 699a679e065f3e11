from __future__ import annotations

import datetime as dt
import stat
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.clock import FixedClock
from devices.errors import Refused, UsageError, UtbenchError
from ota.image import ImageError
from simulators.updates.store import MAX_REPORTS, ActionOver, NotThere, Report, Status, UpdateStore

NAME = "UT-99L-1004.bin"
A = "UT-99L-A1"


@pytest.fixture
def store(tmp_path, clock):
    return UpdateStore(tmp_path / "updates", clock)


def test_publish(store, image, public_key):
    """An image is published under what its own release.toml says, with hashes and its meaning signed."""
    assert store.publish(image, public_key) == NAME
    release = store.release(NAME)
    assert (release.model, release.payment_version, release.size) == ("UT-99L", 1004, len(image))
    custom = store.repository.released[NAME].custom
    assert custom == {"model": "UT-99L", "payment_version": 1004, "release_counter": 1004}
    assert store.publish(image) == NAME


def test_other_key(store, image):
    """With a key given, an image that another key signed is not published."""
    with pytest.raises(ImageError):
        store.publish(image, Ed25519PrivateKey.generate().public_key())
    assert store.releases() == ()


@pytest.mark.parametrize(
    "toml",
    [
        "",
        "not toml at all",
        'model = "UT-99L"',
        "payment_version = 1004",
        'model = "../x"\npayment_version = 1004',
        'model = "UT-99L"\npayment_version = "1004"',
        'model = "UT-99L"\npayment_version = true',
        'model = "UT-99L"\npayment_version = 1005',
    ],
)
def test_no_release(store, make_image, toml):
    """An image that does not say what it is for, or says two things, is not published."""
    with pytest.raises(UsageError):
        store.publish(make_image(toml=toml, weight=1024))


def test_damaged(store, image):
    """A damaged image is not published."""
    for data in (b"", image[:-10], image[:1000], bytes([image[0] ^ 1]) + image[1:]):
        with pytest.raises(ImageError):
            store.publish(data)


def test_ids_grow(store, image):
    """Action ids only grow, and the same assignment is the same action."""
    store.publish(image)
    first = store.assign(A, NAME)
    assert store.assign(A, NAME) == first
    second = store.assign("UT-77L-B2", NAME)
    third = store.assign(A, NAME, forced=False)
    assert first < second < third
    assert [action.id for action in store.actions(A)] == [first, third]
    assert store.action(first).status is Status.CANCELING


def test_unknown(store, image):
    """Unknown releases, actions and impossible ids are refused."""
    with pytest.raises(NotThere):
        store.assign(A, NAME)
    with pytest.raises(NotThere):
        store.action(1)
    store.publish(image)
    with pytest.raises(UsageError):
        store.assign("../x", NAME)


def test_over(store, image):
    """What is over takes no report, no cancel, and no second end."""
    store.publish(image)
    number = store.assign(A, NAME)
    store.report(number, Report(store.now(), "closed", "success"))
    for late in (
        lambda: store.report(number, Report(store.now(), "closed", "failure")),
        lambda: store.report_cancel(number, Report(store.now(), "closed", "success")),
        lambda: store.cancel(number),
    ):
        with pytest.raises(ActionOver):
            late()
    assert store.action(number).status is Status.FINISHED


def test_quota(store, image, monkeypatch):
    """Reports of an action are bounded; its end is always taken."""
    monkeypatch.setattr("simulators.updates.store.MAX_REPORTS", 5)
    assert MAX_REPORTS >= 100
    store.publish(image)
    number = store.assign(A, NAME)
    for _ in range(4):
        store.report(number, Report(store.now(), "proceeding"))
    with pytest.raises(Refused):
        store.report(number, Report(store.now(), "proceeding"))
    assert store.report(number, Report(store.now(), "closed", "success")).status is Status.FINISHED


def test_newer_folder(store, image, tmp_path, clock):
    """A folder written by a newer program is refused, not misread."""
    store.publish(image)
    number = store.assign(A, NAME)
    path = tmp_path / "updates/actions" / f"{number}.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(UtbenchError, match="newer"):
        UpdateStore(tmp_path / "updates", clock)


def test_secrets(store, tmp_path):
    """The publisher's keys are readable by their owner only."""
    if sys.platform == "win32":
        pytest.skip("POSIX modes")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "updates/keys").iterdir()}
    assert modes == {0o600}


def test_real_expiry(tmp_path, image):
    """A business clock moved years away does not let signed metadata expire: TUF's time is real."""
    far = FixedClock(dt.datetime(2040, 1, 1, tzinfo=dt.UTC))
    store = UpdateStore(tmp_path / "updates", far)
    store.publish(image)
    timestamp = store.repository._load_timestamp().signed
    assert dt.timedelta(0) < timestamp.expires - dt.datetime.now(dt.UTC) < dt.timedelta(days=2)


def test_signs_anew(tmp_path, clock):
    """Each start signs the timestamp anew, so a world that stood still for weeks is valid at once."""
    old = FixedClock(dt.datetime.now(dt.UTC) - dt.timedelta(days=60))
    UpdateStore(tmp_path / "updates", clock, old)
    store = UpdateStore(tmp_path / "updates", clock)
    for signed in (store.repository._load_timestamp().signed, store.repository._load_targets().signed):
        assert not signed.is_expired()
        assert signed.version == 2
