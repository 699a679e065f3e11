"""The release is inside the firmware: an update changes the terminal, a bad release changes it back."""

import hashlib

import pytest

from devices.errors import UtbenchError
from ota.image import parse
from simulators.bootloader import Layout
from simulators.flash import FileFlash
from simulators.slots import provision
from terminal.firmware import release_text
from tests.terminal.attached import Attached, eventually, image, pay_retro, shipped_image
from tests.terminal.bench import MODELS, NEW, OLD, REPLY_LOST

DEADLINE_S = 10.0


def install(terminal, data, digest, *, permanent=False):
    """Upload, mark and restart; the device is on its new image, or back on the old one."""
    terminal.upload(data, hashlib.sha256(data).digest())
    terminal.mark(digest, permanent=permanent)
    terminal.reset()
    assert terminal.wait(screen="program", timeout_s=DEADLINE_S)


def digest_of(data):
    return parse(data).digest


@pytest.mark.parametrize("model", MODELS)
def test_an_update_changes_the_terminal_and_a_revert_changes_it_back(tmp_path, model):
    """Under the new release 소급결제 is there; unconfirmed, the next restart takes it away again."""
    with Attached(tmp_path, model, OLD[model]) as attached:
        terminal = attached.client()
        data = shipped_image(model, NEW[model])
        install(terminal, data, digest_of(data))
        assert terminal.identity().payment_version == NEW[model]
        assert pay_retro(terminal).fields["balance"] == "882,894원"
        terminal.touch("확인")
        terminal.reset()
        assert terminal.wait(screen="program", timeout_s=DEADLINE_S)
        assert terminal.identity().payment_version == OLD[model]
        install(terminal, data, digest_of(data))
        terminal.confirm()
        terminal.reset()
        assert terminal.wait(screen="program", timeout_s=DEADLINE_S)
        assert terminal.identity().payment_version == NEW[model]


GOOD = release_text("ut-77l", 1014)
BAD = {
    "unknown field": GOOD.replace(b'fields = ["amount_won"]', b'fields = ["amount_eur"]'),
    "unknown button": GOOD.replace("거래취소".encode(), "거래조회".encode()),
    "unknown page": GOOD.replace(b'"caution", "service-date"', b'"warning", "service-date"'),
    "wrong schema": GOOD.replace(b"schema = 1", b"schema = 2"),
    "newer engine": GOOD.replace(b"min_engine = 1", b"min_engine = 99"),
    "another model": release_text("ut-55l", 1021),
    "wrong shape": GOOD.replace(b'buttons = ["', b'buttons = [7, "'),
    "no TOML": b"schema = ",
}


@pytest.mark.parametrize("fault", BAD)
def test_a_release_that_fails_its_self_test_reverts(tmp_path, fault):
    """Rightly signed but not to be run: the device boots back to what it had, says why, and can still be updated."""
    with Attached(tmp_path, "ut-77l", OLD["ut-77l"]) as attached:
        heard = []
        terminal = attached.client(on_log=heard.append)
        data = image(BAD[fault], "1.0.1099")
        install(terminal, data, digest_of(data))
        assert terminal.identity().payment_version == OLD["ut-77l"]
        (slot,) = [slot for slot in terminal.slots() if slot.active]
        assert (slot.version, slot.confirmed) == ("1.0.1013", True)
        assert any("self-test failed" in line for line in heard)
        data = shipped_image("ut-77l", NEW["ut-77l"])
        install(terminal, data, digest_of(data))
        assert terminal.identity().payment_version == NEW["ut-77l"]


def test_an_unsettled_payment_survives_the_update(tmp_path):
    """A reply that was lost, then an update: the new firmware reverses what the old one sent, on both sides."""
    with Attached(tmp_path, "ut-99l", OLD["ut-99l"]) as attached:
        terminal = attached.client()
        data = shipped_image("ut-99l", NEW["ut-99l"])
        terminal.upload(data, hashlib.sha256(data).digest())
        for label in ("부모상담", "카드결제"):
            terminal.touch(label)
        terminal.tap("recipient-008003")
        for key in (*"1001", "ok"):
            terminal.press(key)
        assert terminal.wait(screen="voucher")
        terminal.touch("서비스결제")
        attached.host.fate = lambda what: REPLY_LOST if what == "pay" else "ok"
        for key in (*"1000", "ok"):
            terminal.press(key)
        assert terminal.wait(text="다시 시도")
        assert attached.host.balance_won("rec-2", "008003") == 159_000
        terminal.mark(digest_of(data))
        terminal.reset()
        assert terminal.wait(text="망취소", timeout_s=DEADLINE_S)
        assert terminal.wait(screen="notice", timeout_s=DEADLINE_S)
        assert attached.host.balance_won("rec-2", "008003") == 160_000
        assert terminal.identity().payment_version == NEW["ut-99l"]
        eventually(lambda: not (tmp_path / "journal.json").exists())


def test_a_device_without_a_release_that_runs_says_so(tmp_path):
    """Only a confirmed image that fails its self-test leaves nothing to boot: one sentence, no half-dead device."""
    bad = image(BAD["wrong schema"], "1.0.1099")
    with Attached(tmp_path, "ut-77l") as attached:
        attached.device.close()
        layout = Layout.shipped()
        flash = FileFlash(tmp_path / "flash.bin", layout.size_bytes)
        provision(flash, layout, bad)
        flash.close()
        with pytest.raises(UtbenchError, match="schema 2"):
            attached.switch_on()
