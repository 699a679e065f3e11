"""A simulated device over its real port, as a client sees it."""

import threading

import pytest

from devices.client import SmpClient
from devices.discovery import Candidate, find_again
from devices.errors import PortLost, RemoteError, UtbenchError
from devices.groups import TerminalCommand
from devices.home import Home
from devices.profiles import profile
from devices.registry import Registration
from devices.smp import Group, Op, Rc
from simulators.line import LineSpec
from tests.terminal.attached import Attached, pay_retro
from tests.terminal.bench import MODELS, START

DEADLINE_S = 10.0


@pytest.mark.parametrize("kind", ["pty", "tcp"])
@pytest.mark.parametrize("model", MODELS)
def test_a_payment_over_the_port(tmp_path, model, kind):
    """Press, touch, tap, wait and screen over a pty and its TCP twin: a retroactive payment is made and seen."""
    with Attached(tmp_path, model, kind=kind) as attached:
        terminal = attached.client()
        done = pay_retro(terminal)
        assert (done.fields["amount"], done.fields["balance"]) == ("15,000원", "882,894원")
        assert (done.cols, done.rows) == (profile(model).cols, profile(model).rows)
        assert attached.host.balance_won() == 882_894
        identity = terminal.identity()
        assert (identity.model, identity.payment_version) == (model, profile(model).new_release)


def test_the_picture_is_the_devices_own(tmp_path):
    """`screen` sends the device's own picture, right-stripped, with title, soft keys and fields."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        terminal.touch("발달재활")
        screen, lcd = terminal.screen(), attached.device.session.lcd
        assert screen.lines == tuple(line.rstrip() for line in lcd.lines)
        assert (screen.title, screen.keys, screen.fields) == (lcd.title, lcd.keys, dict(lcd.fields))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("buf_size", [256, 384, 512])
def test_a_picture_larger_than_a_message_is_put_together(tmp_path, model, buf_size):
    """With small buffers every page still arrives whole, line by line if need be, also the one that `wait` answers."""
    with Attached(tmp_path, model, spec={"buf_size": buf_size, "buf_count": 2}) as attached:
        terminal = attached.client()
        done = pay_retro(terminal)
        assert done.lines == tuple(line.rstrip() for line in attached.device.session.lcd.lines)
        assert terminal.screen() == done


def test_a_repeated_press_is_pressed_once(tmp_path):
    """The same client and number again is answered from memory: 1001 stays 1001 whoever retransmits."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        for label in ("발달재활", "카드결제"):
            terminal.touch(label)
        terminal.tap("recipient-070101")
        press = {"key": "7", "client": b"12345678"}
        answers = [ask(terminal, TerminalCommand.PRESS, {**press, "n": 1}) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        ask(terminal, TerminalCommand.PRESS, {**press, "n": 2})
        ask(terminal, TerminalCommand.PRESS, {**press, "n": 1, "client": b"87654321"})
        assert terminal.screen().fields["worker_payment_id"] == "777"


def ask(terminal, command, payload, op=Op.WRITE):
    return terminal._client.request(op, Group.TERMINAL, command, payload)


def test_the_last_sixteen_presses_are_remembered(tmp_path):
    """Sixteen back a repetition is still known; the seventeenth is a new press."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        keys = ["down"] * 17
        for n, key in enumerate(keys, 1):
            ask(terminal, TerminalCommand.PRESS, {"key": key, "client": b"c", "n": n})
        rev = terminal.status().rev
        ask(terminal, TerminalCommand.PRESS, {"key": "down", "client": b"c", "n": 2})
        assert terminal.status().rev == rev
        ask(terminal, TerminalCommand.PRESS, {"key": "down", "client": b"c", "n": 1})
        assert terminal.status().rev == rev + 1


def test_wait_blocks_nothing_else(tmp_path):
    """While one request waits for a page, others are answered; it is answered once the page is there."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        seen = []
        waiting = threading.Thread(target=lambda: seen.append(terminal.wait(text="결제유형", timeout_s=DEADLINE_S)))
        waiting.start()
        assert [terminal.echo(f"{n}") for n in range(20)] == [f"{n}" for n in range(20)]
        assert seen == []
        terminal.touch("발달재활")
        waiting.join(DEADLINE_S)
        assert seen[0].screen == "means"


def test_wait_ends_when_the_time_is_up(tmp_path):
    """A page that does not come is None, on the device's own clock; what is there already answers at once."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        assert terminal.wait(screen="done", timeout_s=0.05) is None
        assert terminal.wait(text="발달 재활", timeout_s=0).screen == "program"


@pytest.mark.parametrize(
    ("act", "rc"),
    [
        (lambda terminal: terminal.touch("없는 것"), Rc.NO_ENTRY),
        (lambda terminal: terminal.press("z"), Rc.BAD_VALUE),
        (lambda terminal: terminal.tap("nobody"), Rc.NO_ENTRY),
        (lambda terminal: terminal.tap("recipient-070101"), Rc.BAD_STATE),
        (lambda terminal: terminal.scan("qr"), Rc.NOT_SUPPORTED),
        (lambda terminal: ask(terminal, TerminalCommand.WAIT, {}, Op.READ), Rc.BAD_VALUE),
        (lambda terminal: ask(terminal, TerminalCommand.SCREEN, {"first_row": -1}, Op.READ), Rc.BAD_VALUE),
        (lambda terminal: ask(terminal, TerminalCommand.CLOCK, {"unix_ms": "now"}), Rc.BAD_VALUE),
        (lambda terminal: ask(terminal, TerminalCommand.CLOCK, {"unix_ms": 1 << 62}), Rc.BAD_VALUE),
    ],
)
def test_what_does_not_go_is_refused(tmp_path, act, rc):
    """A wrong key, label, card, moment or value gets its own result code, and the page stays."""
    with Attached(tmp_path, "ut-77l") as attached:
        terminal = attached.client()
        before = terminal.screen()
        with pytest.raises(RemoteError) as refusal:
            act(terminal)
        assert (refusal.value.group, refusal.value.rc) == (Group.TERMINAL, rc)
        assert terminal.screen() == before


def test_an_ambiguous_touch_is_refused(tmp_path):
    """Two reasons begin with 단말기: rc 3, and neither is chosen."""
    with Attached(tmp_path, "ut-55l") as attached:
        terminal = attached.client()
        pay_retro_to_reason(terminal)
        with pytest.raises(RemoteError) as refusal:
            terminal.touch("단말기")
        assert refusal.value.rc == Rc.BAD_VALUE
        assert terminal.screen().fields["reason"] == ""
        assert terminal.touch("단말기 분실").fields["reason"] == "단말기 분실, 고장 등"


def pay_retro_to_reason(terminal):
    terminal.touch("발달재활")
    terminal.touch("카드결제")
    terminal.tap("recipient-070101")
    for key in (*"1001", "ok"):
        terminal.press(key)
    assert terminal.wait(screen="voucher")
    for label in ("서비스결제", "소급결제", "확인", "다음"):
        terminal.touch(label)
    for key in (*"0105", "ok", *"15000", "ok"):
        terminal.press(key)


def test_the_clock_is_the_terminals(tmp_path):
    """Set over the port it is what the pages go by: five minutes on, the session is closed, without waiting for it."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        pay_retro_to_reason(terminal)
        at_ms = int(START.timestamp() * 1000) + 400_000
        terminal.set_clock_ms(at_ms)
        assert terminal.clock_ms() >= at_ms
        assert terminal.wait(text="SIM-SESSION", timeout_s=DEADLINE_S).screen == "notice"


def test_the_log_tells_the_payment_and_no_card(tmp_path):
    """The events are numbered without gaps, may be read on from any number, and never hold a card number."""
    with Attached(tmp_path, spec={"buf_size": 512}) as attached:
        terminal = attached.client()
        pay_retro(terminal)
        events, since = [], 0
        while True:
            more, since = terminal.log(since)
            if not more:
                break
            events += more
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        kinds = [event["kind"] for event in events]
        assert [kind for kind in kinds if kind in ("power", "registration", "lookup", "payment", "paid")] == [
            "power",
            "registration",
            "lookup",
            "payment",
            "paid",
        ]
        assert "9999070101000017" not in str(events)


def test_status_says_when_a_restart_is_inconvenient(tmp_path):
    """Busy from the card until it is paid; SMP answers also while the terminal is switched off."""
    with Attached(tmp_path, spec={"battery": 12}) as attached:
        terminal = attached.client()
        assert (terminal.status().busy, terminal.status().battery) == (False, 12)
        for label in ("발달재활", "카드결제"):
            terminal.touch(label)
        terminal.tap("recipient-070101")
        assert terminal.status().busy
        terminal.press("cancel")
        terminal.press("cancel")
        for _ in range(3):
            terminal.press("cancel")
        pay_retro(terminal)
        assert not terminal.status().busy
        terminal.touch("확인")
        assert not terminal.status().busy
        terminal.press("power")
        assert (terminal.status().power, terminal.screen().screen) == ("off", "off")
        terminal.press("power")
        assert terminal.wait(screen="program")


@pytest.mark.parametrize(
    "noise", [{"drop": 1e-3}, {"corrupt": 1e-3}, {"garbage": 1e-3}, {"drop": 1e-3, "corrupt": 1e-3}]
)
def test_noise_never_presses_twice(tmp_path, noise):
    """Requests and replies are lost and damaged, and repeated; each of a hundred keys counts exactly once."""
    with Attached(tmp_path, "ut-55l", spec={"line": LineSpec(**noise, seed=5)}) as attached:
        link = Counting(attached.link())
        client = attached.open.enter_context(SmpClient(link))
        attached.device.session.wait(lambda lcd: lcd.screen == "program", DEADLINE_S)
        before = attached.device.session.rev
        for n in range(100):
            payload = {"key": "down", "client": b"noisy", "n": n}
            client.request(Op.WRITE, Group.TERMINAL, TerminalCommand.PRESS, payload, timeout_s=0.03, tries=300)
        assert attached.device.session.rev == before + 100
        assert link.writes > 100


class Counting:
    """A link that counts what is written: more than was asked means that something was repeated."""

    def __init__(self, link):
        self.name, self.read, self.close = link.name, link.read, link.close
        self._write, self.writes = link.write, 0

    def write(self, data):
        self.writes += 1
        self._write(data)


def test_a_usb_reset_comes_back_under_another_name(tmp_path):
    """A reset disconnects the port as USB does: the client loses it, and finds the terminal again by its serial."""
    home = Home(tmp_path / "home")
    registration = Registration(home.run, "S0001", "ut-99l")
    with Attached(tmp_path / "device", registration=registration, spec={"line": LineSpec(usb=True)}) as attached:
        was = attached.device.face.name
        terminal = attached.client()
        terminal.reset()
        with pytest.raises(PortLost):
            until_lost(terminal)
        terminal.close()
        with find_again(home, Candidate(was, "simulated", "S0001"), "S0001", timeout_s=DEADLINE_S) as again:
            assert again.identity().serial == "S0001"
            assert again.port == attached.device.face.name
            assert again.wait(screen="program")


def test_a_reset_over_tcp_drops_the_client(tmp_path):
    """The TCP twin keeps its name; who was connected is disconnected and may connect again."""
    with Attached(tmp_path, kind="tcp", spec={"line": LineSpec(usb=True)}) as attached:
        terminal = attached.client()
        terminal.reset()
        with pytest.raises(UtbenchError):
            until_lost(terminal)
        assert attached.client().identity().serial == "S0001"


def test_a_reset_without_usb_keeps_the_port(tmp_path):
    """On a plain serial line the port stays open; the terminal behind it has booted anew."""
    with Attached(tmp_path) as attached:
        terminal = attached.client()
        terminal.touch("발달재활")
        terminal.reset()
        assert terminal.wait(screen="program", timeout_s=DEADLINE_S)
        assert terminal.identity().serial == "S0001"


def until_lost(terminal):
    while True:
        terminal.echo("still there?")
