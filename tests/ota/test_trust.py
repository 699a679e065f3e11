from __future__ import annotations

import json
import stat
import sys

import pytest

from devices.errors import Refused, UsageError, UtbenchError
from ota.ddi import Artifact
from ota.trust import TokenStore, TrustStore, TufTarget, fits
from ota.tuf_repository import TufRepository

URL = "https://updates.example.org"
SHA = "ab" * 32
TARGET = TufTarget("UT-99L-1004.bin", 1000, SHA, "UT-99L", 1004, 1004)


@pytest.fixture
def repository(tmp_path):
    return TufRepository.create(tmp_path / "tuf", tmp_path / "keys")


@pytest.fixture
def store(tmp_path):
    return TrustStore(tmp_path / "home")


def test_pin(store, repository, tmp_path):
    """A pinned server is found by name and by URL, by a later run too, with exactly the bytes that were pinned."""
    pinned = store.pin("site", f"{URL}/", repository.root_bytes)
    again = TrustStore(tmp_path / "home")
    assert again.get("site") == again.get(URL) == again.get(f"{URL}/") == again.only() == pinned
    assert pinned.root == repository.root_bytes
    assert (pinned.url, pinned.metadata_url) == (URL, f"{URL}/tuf/metadata")
    assert pinned.targets_url == f"{URL}/tuf/targets"
    assert (tmp_path / "home/agent/trust/site/root.json").read_bytes() == repository.root_bytes


def test_other_metadata_url(store, repository):
    """A fleet's TUF repository may live elsewhere than its DDI, under a tenant of its own."""
    pinned = store.pin("fleet", URL, repository.root_bytes, "https://tuf.example.org/metadata/", "ACME")
    assert store.get("fleet") == pinned
    assert (pinned.metadata_url, pinned.targets_url, pinned.tenant) == (
        "https://tuf.example.org/metadata",
        "https://tuf.example.org/targets",
        "ACME",
    )


def test_no_trust_on_first_use(store):
    """A server that nobody pinned is refused with the command that would pin it."""
    for ask in (store.only, lambda: store.get("site"), lambda: store.get(URL)):
        with pytest.raises(Refused) as refused:
            ask()
        assert "utbench ota trust" in refused.value.hint
        assert refused.value.exit_code == 5
    assert URL in refused.value.hint


def test_which(store, repository):
    """With two pinned servers one must be named."""
    store.pin("one", URL, repository.root_bytes)
    store.pin("two", "http://127.0.0.1:8080", repository.root_bytes)
    with pytest.raises(UsageError, match="one, two"):
        store.only()
    assert store.get("http://127.0.0.1:8080").name == "two"


@pytest.mark.parametrize(
    ("name", "url", "metadata_url"),
    [
        ("../x", URL, None),
        ("", URL, None),
        ("ok", "ftp://updates.example.org", None),
        ("ok", "https://user:pass@updates.example.org", None),
        ("ok", "updates.example.org", None),
        ("ok", URL, "file:///etc"),
    ],
)
def test_bad_pins(store, repository, name, url, metadata_url):
    """Bad names and addresses are errors of the call, and nothing is pinned."""
    with pytest.raises(UsageError):
        store.pin(name, url, repository.root_bytes, metadata_url)
    assert store.all() == ()


def test_not_a_root(store, repository):
    """Other files, and TUF metadata that is no root, are not pinned."""
    targets = (repository.metadata / "1.targets.json").read_bytes()
    for data in (b"", b"{}", b"\xff\xfe", b"[" * 5000, targets):
        with pytest.raises(UsageError):
            store.pin("site", URL, data)


def test_signatures_of_root(store, repository):
    """A root needs two of its three signatures, and every one over these very bytes."""
    root = json.loads(repository.root_bytes)
    fewer = {**root, "signatures": root["signatures"][:2]}
    assert store.pin("site", URL, json.dumps(fewer).encode()).name == "site"
    one = {**root, "signatures": root["signatures"][:1]}
    changed = {**root, "signed": {**root["signed"], "version": 2}}
    lower = {**root, "signed": {**root["signed"], "roles": {**root["signed"]["roles"]}}}
    lower["signed"]["roles"]["root"] = {**root["signed"]["roles"]["root"], "threshold": 1}
    for bad in (one, changed, lower):
        with pytest.raises(Refused):
            store.pin("bad", URL, json.dumps(bad).encode())


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema": 99}', '{"schema": "x"}'])
def test_damaged_pin(store, repository, tmp_path, content):
    """A damaged or newer pin is refused with a sentence and hides no other."""
    store.pin("good", URL, repository.root_bytes)
    store.pin("site", "https://other.example.org", repository.root_bytes)
    (tmp_path / "home/agent/trust/site/server.json").write_text(content)
    with pytest.raises(Refused):
        store.get("site")
    assert store.get("good").url == URL


def test_tokens(tmp_path):
    """Tokens are kept by controller id, in a file that only its owner may read."""
    tokens = TokenStore(tmp_path)
    tokens.enrol("UT-99L-1", " secret1\n")
    tokens.enrol("UT-77L-2", 'se"cr\\et2')
    tokens.enrol("UT-99L-1", "secret3")
    assert TokenStore(tmp_path).token("UT-99L-1") == "secret3"
    assert TokenStore(tmp_path).token("UT-77L-2") == 'se"cr\\et2'
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "agent/tokens.toml").stat().st_mode) == 0o600


def test_no_token(tmp_path):
    """A terminal that was not enrolled is refused with the command that enrols it."""
    with pytest.raises(Refused, match="utbench ota enrol"):
        TokenStore(tmp_path).token("UT-99L-1")


@pytest.mark.parametrize("token", ["", " ", "two words", "한", "a\nb", "x" * 300])
def test_bad_token(tmp_path, token):
    """What cannot be a header's token is refused, without repeating it."""
    with pytest.raises(UsageError) as error:
        TokenStore(tmp_path).enrol("UT-99L-1", token)
    assert not token.strip() or token not in str(error.value)


def test_damaged_tokens(tmp_path):
    """A damaged token file is an error that quotes none of it."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/tokens.toml").write_text("[tokens]\nsecret-value = oops")
    with pytest.raises(UtbenchError) as error:
        TokenStore(tmp_path).token("UT-99L-1")
    assert "secret-value" not in str(error.value)
    assert error.value.__cause__ is None


def artifact(filename=TARGET.name, size=TARGET.size, sha256=TARGET.sha256):
    return Artifact(filename, size, sha256, ("https://x/y",))


def test_fits():
    """Where server and publisher say the same, for this model, the artifact fits."""
    fits(artifact(), TARGET, "UT-99L")


@pytest.mark.parametrize(
    ("offered", "target", "model"),
    [
        (artifact(filename="UT-99L-1005.bin"), TARGET, "UT-99L"),
        (artifact(size=1001), TARGET, "UT-99L"),
        (artifact(sha256="cd" * 32), TARGET, "UT-99L"),
        (artifact(), TARGET, "UT-77L"),
        (artifact(), TufTarget("UT-99L-1004.bin", 1000, SHA, "UT-99L", 1004, 1003), "UT-99L"),
    ],
)
def test_does_not_fit(offered, target, model):
    """A difference in name, length, hash, model or counter is refused."""
    with pytest.raises(Refused):
        fits(offered, target, model)
