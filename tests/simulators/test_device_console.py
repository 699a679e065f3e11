"""A plain terminal program on the same port: lines that are no frames are for people, and disturb no frame."""

import threading

import pytest

from devices.client import SmpClient
from devices.framing import Decoder, LogLine
from devices.groups import OsCommand
from devices.smp import Group, Op
from devices.terminal import Terminal
from tests.terminal.attached import Attached, pay_retro
from tests.terminal.bench import MODELS

DEADLINE_S = 10.0


class Console:
    """Somebody with a plain terminal program: types lines and reads what comes, until a line that is waited for."""

    def __init__(self, link):
        self.link, self.seen = link, []
        self._decoder = Decoder()

    def type(self, line, end="\r\n"):
        self.link.write(line.encode() + end.encode())

    def until(self, text):
        """The lines since the last call, up to the one that holds `text`; a watchdog closes a silent port."""
        watchdog = threading.Timer(DEADLINE_S, self.link.close)
        watchdog.start()
        lines = []
        try:
            while True:
                while self.seen:
                    lines.append(self.seen.pop(0))
                    if text in lines[-1]:
                        return lines
                data = self.link.read()
                assert data, f"{text!r} never came: {lines}"
                self.seen += [item.text for item in self._decoder.feed(data) if isinstance(item, LogLine)]
        finally:
            watchdog.cancel()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_console_answers_in_text(tmp_path, model, end):
    """help, info, screen, press and touch are answered with lines of text, as somebody with `tio` would expect."""
    with Attached(tmp_path, model) as attached:
        attached.device.session.wait(lambda lcd: lcd.screen == "program", DEADLINE_S)
        console = Console(attached.link())
        console.type("help", end)
        lines = console.until("tap CARD")
        assert {line.split()[0] for line in lines if not line.startswith("[boot]")} == {
            "help",
            "info",
            "screen",
            "press",
            "touch",
            "tap",
        }
        console.type("info", end)
        assert any("T0000001" in line and "S0001" in line for line in console.until("slot 0"))
        console.type("touch 발달재활", end)
        assert console.until("카드결제")[0].strip() == "발달재활"
        console.type("touch 카드결제", end)
        console.until("[취소]")
        console.type("tap recipient-070101", end)
        console.until("제공인력 결제 ID")
        console.type("press 1", end)
        console.until("[확인]")
        console.type("screen", end)
        assert any(line.strip() == "1" for line in console.until("[확인]"))
        assert attached.device.session.state.draft == {"worker_payment_id": "1"}


@pytest.mark.parametrize("line", ["press z", "press", "press 1 2", "touch nichts", "tap nobody"])
def test_a_wrong_line_is_explained(tmp_path, line):
    """What cannot be done is answered with a line, and nothing is done."""
    with Attached(tmp_path) as attached:
        attached.device.session.wait(lambda lcd: lcd.screen == "program", DEADLINE_S)
        before = attached.device.session.rev
        console = Console(attached.link())
        console.type(line)
        console.until({"press": "press KEY", "touch": "cannot touch", "tap": "no such card"}[line.split()[0]])
        assert attached.device.session.rev == before


def test_noise_on_the_console_is_ignored(tmp_path):
    """Lines that are no command are not answered: noise never makes more noise."""
    with Attached(tmp_path) as attached:
        attached.device.session.wait(lambda lcd: lcd.screen == "program", DEADLINE_S)
        console = Console(attached.link())
        for line in ("", "AT", '"', "_help", "__init__", "rm -rf /", "\x1b[2J", "x" * 5000, "help\x00er"):
            console.type(line)
        console.type("info")
        assert next(line for line in console.until("slot 0") if not line.startswith("[boot]")).startswith("UT-99L")


def test_the_boot_log_comes_before_the_first_frame(tmp_path):
    """What the bootloader says is text on the same port; a client takes it as log and speaks on."""
    with Attached(tmp_path) as attached:
        heard = []
        terminal = attached.client(on_log=heard.append)
        terminal.reset()
        assert terminal.wait(screen="program", timeout_s=DEADLINE_S)
        assert any(line.startswith("[boot] booting slot 0, version 1.0.1004") for line in heard)
    with Attached(tmp_path / "quiet", spec={"boot_log": False}) as attached:
        heard = []
        terminal = attached.client(on_log=heard.append)
        terminal.reset()
        assert terminal.wait(screen="program", timeout_s=DEADLINE_S)
        assert heard == []


def test_console_and_frames_share_the_port(tmp_path):
    """Lines typed between frames are answered between frames: a payment under way by SMP is not disturbed."""
    with Attached(tmp_path) as attached:
        link, heard = attached.link(), []
        terminal = Terminal(link, on_log=heard.append)
        terminal.wait(screen="program")
        for word in ("help", "garbage in between", "info"):
            link.write(word.encode() + b"\n")
            assert terminal.echo(word) == word
        done = pay_retro(terminal)
        assert done.fields["balance"] == "882,894원"
        assert any(line.startswith("slot 0") for line in heard)


def test_a_frame_that_is_cut_off_disturbs_no_later_one(tmp_path):
    """Half a frame, then a line, then a whole frame: the device finds its feet at the newline."""
    with Attached(tmp_path) as attached:
        link = attached.link()
        client = SmpClient(link)
        link.write(b"\x06\x09AAAA")
        link.write(b"\n\x04\x14!!!!\n")
        assert client.request(Op.WRITE, Group.OS, OsCommand.ECHO, {"d": "there"}) == {"r": "there"}
        client.close()
