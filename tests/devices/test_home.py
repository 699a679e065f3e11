from __future__ import annotations

import os
import stat
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import durable
from devices.durable import DiskError, save_bytes, save_json
from devices.errors import UsageError
from devices.home import Home, _with_usb_ids
from devices.profiles import PROFILES, profile

KEPT = """# our shop
language = "ko"   # the boss's wish

[usb]
# two adapters
ids = ["1A86:7523"]
[servers]
main = "https://updates.example.org"
"""


def test_where_state_lives(tmp_path, monkeypatch):
    """`--home` wins over UTBENCH_HOME, which wins over the platform's data folder."""
    monkeypatch.setenv("UTBENCH_HOME", str(tmp_path / "env"))
    assert Home.at(str(tmp_path / "option")).path == tmp_path / "option"
    assert Home.at().path == tmp_path / "env"
    monkeypatch.delenv("UTBENCH_HOME")
    assert Home.at().path.name == "utbench"


def test_no_usb_ids_by_default(home):
    """No port is known to be a terminal's until this site says so; asking makes no file."""
    assert home.usb_ids() == frozenset()
    assert not home.path.exists()


def test_adopt_keeps_the_rest(home):
    """Adopting an adapter changes the one line of ids; comments, order and all else stay as their owner wrote them."""
    home.path.mkdir()
    path = home.path / "config.toml"
    path.write_text(KEPT)
    home.add_usb_id(0x0403, 0x6001)
    home.add_usb_id(0x0403, 0x6001)
    assert home.usb_ids() == {(0x1A86, 0x7523), (0x0403, 0x6001)}
    assert path.read_text() == KEPT.replace('ids = ["1A86:7523"]', 'ids = ["0403:6001", "1a86:7523"]')


@pytest.mark.parametrize("before", ["", "language = 'ko'\n", "[usb]\n", "[usb]\nname = 'x'\n[other]\nids = ['a']\n"])
def test_adopt_where_there_is_no_list(home, before):
    """A file without the list, without the section, or no file at all gets what is missing and keeps what it had."""
    home.path.mkdir()
    if before:
        (home.path / "config.toml").write_text(before)
    home.add_usb_id(0x1A86, 0x7523)
    assert home.usb_ids() == {(0x1A86, 0x7523)}
    config = home.config()
    del config["usb"]["ids"]
    old = tomllib.loads(before)
    assert config == {"usb": {}, **old}


def test_list_over_several_lines(home):
    """A list that its owner wrote over several lines is replaced whole."""
    home.path.mkdir()
    (home.path / "config.toml").write_text('[usb]\nids = [\n  "1a86:7523",  # bench\n]\nname = "x"\n')
    home.add_usb_id(0x0403, 0x6001)
    assert home.usb_ids() == {(0x1A86, 0x7523), (0x0403, 0x6001)}
    assert home.config()["usb"]["name"] == "x"


@pytest.mark.parametrize("text", ["usb = {ids = ['1a86:7523']}\n", "usb.ids = ['1a86:7523']\n"])
def test_a_form_that_cannot_be_edited(home, text):
    """A list in a form that cannot be edited in place is left alone, and its owner told what to write."""
    home.path.mkdir()
    path = home.path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match="cannot edit") as caught:
        home.add_usb_id(0x0403, 0x6001)
    assert '"0403:6001", "1a86:7523"' in caught.value.hint
    assert path.read_text() == text


names = st.sampled_from(["usb", "servers", "a"])


@given(st.dictionaries(names, st.dictionaries(st.sampled_from(["ids", "x", "y"]), st.integers()), max_size=3))
def test_any_file_stays_toml(tables):
    """Whatever sections the file has, the result is TOML and differs in [usb] ids alone."""
    text = "".join(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in table.items()) for name, table in tables.items())
    after = tomllib.loads(_with_usb_ids(text, 'ids = ["1a86:7523"]'))
    assert after == {**tables, "usb": {**tables.get("usb", {}), "ids": ["1a86:7523"]}}


@pytest.mark.parametrize("text", ["[usb", '[usb]\nids = ["1a86"]\n', '[usb]\nids = ["zz:yy"]\n', "\udcff"])
def test_damaged_config(home, text):
    """A config file that cannot be read is a usage error that names it, never a traceback."""
    home.path.mkdir()
    (home.path / "config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"config\.toml"):
        home.usb_ids()


@pytest.mark.parametrize("text", ["usb = 3\n", "[usb]\nids = 3\n", "[usb]\nids = [3]\n"])
def test_config_of_wrong_types(home, text):
    """TOML of another shape is a usage error too."""
    home.path.mkdir()
    (home.path / "config.toml").write_text(text)
    with pytest.raises(UsageError, match=r"config\.toml"):
        home.usb_ids()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    """A disk that fills up during a save leaves the old content, nothing beside it, and a sentence."""
    path = tmp_path / "state.json"
    save_json(path, {"n": 1})
    old = path.read_bytes()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(DiskError, match="No space left"):
        save_json(path, {"n": 2})
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_the_name(tmp_path, monkeypatch):
    """A save writes and fsyncs beside, then replaces, then fsyncs the folder."""
    done = []
    fsync, replace = os.fsync, os.replace
    kind = {True: "folder", False: "file"}
    monkeypatch.setattr(
        durable.os, "fsync", lambda fd: (done.append(f"fsync {kind[stat.S_ISDIR(os.fstat(fd).st_mode)]}"), fsync(fd))
    )
    monkeypatch.setattr(durable.os, "replace", lambda old, new: (done.append("replace"), replace(old, new)))
    save_bytes(tmp_path / "x", b"data")
    assert done == ["fsync file", "replace", "fsync folder"]


def test_secrets_are_their_owners(tmp_path):
    """A secret file is 0600, any other may be read by all."""
    save_bytes(tmp_path / "key", b"k", secret=True)
    save_bytes(tmp_path / "list", b"l")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "list").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["ut-99l", "UT-99L", "99L", "99l"])
def test_a_model_by_any_of_its_names(name):
    """A model is found by its id, its name, and its short name."""
    assert profile(name).model == "ut-99l"


def test_unknown_model():
    """A model that does not exist is refused with those that do."""
    with pytest.raises(UsageError, match="no model 'ut-11x'") as caught:
        profile("ut-11x")
    assert all(model in caught.value.hint for model in PROFILES)


def test_the_guides_releases():
    """The update guide's releases: 99L 1003 → 1004, 77L 1013 → 1014, 55L 1020 → 1021, phone 1041 → 1042."""
    assert {one.name: (one.old_release, one.new_release) for one in PROFILES.values() if one.firmware} == {
        "UT-99L": (1003, 1004),
        "UT-77L": (1013, 1014),
        "UT-55L": (1020, 1021),
    }
    assert not PROFILES["phone"].firmware
    assert [one.name for one in PROFILES.values() if one.firmware and one.camera] == ["UT-99L"]
