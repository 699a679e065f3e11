"""Whatever happens in whatever order: the core never raises, the picture fits, no won is lost, and it goes on."""

import random
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.profiles import profile
from terminal import flow
from terminal.contract import LookupAnswer, PaymentAnswer, ReversalAnswer
from terminal.fields import Do
from terminal.lcd import width
from terminal.state import Act, CardRead, Due, KeyPress, LookedUp, Paid, Registered, Reversed, Timer, Unsaved
from terminal.view import view
from tests.terminal.bench import BOTH, KEYS, OK, REPLY_LOST, REQUEST_LOST, Bench

IDS = st.integers(0, 40).map(lambda number: f"{number:032x}")
SESSIONS = st.integers(0, 4).map(lambda number: f"S{number:08d}")
ANSWERS = st.sampled_from(
    [
        None,
        PaymentAnswer(outcome="approved"),
        PaymentAnswer(outcome="declined", code="SIM-BALANCE"),
        PaymentAnswer(outcome="declined", code="SIM-SESSION"),
        PaymentAnswer(outcome="declined", code="9999", message="\x1b[31m[bold]모르는 코드"),
        PaymentAnswer(outcome="reversed"),
    ]
)
LOOKUPS = st.sampled_from([None, LookupAnswer(outcome="approved"), LookupAnswer(outcome="declined", code="2207")])
ACTIONS = [*Do, "choose:070101", "choose:payment", "choose:retro", "choose:", "digit:", "digit:²", "", ":", "ok:1"]
FOREIGN = st.one_of(
    st.sampled_from(ACTIONS).map(Act),
    st.sampled_from([*KEYS, "１", "²", "x", ""]).map(KeyPress),
    st.sampled_from(["9999070101000017", "", "garbage", "9" * 65]).map(CardRead),
    st.builds(Registered, st.booleans()),
    st.builds(LookedUp, IDS, LOOKUPS),
    st.builds(Paid, IDS, ANSWERS),
    st.builds(Reversed, IDS, st.sampled_from([None, ReversalAnswer(outcome="reversed")])),
    st.builds(Unsaved, IDS),
    st.builds(Due, st.sampled_from(Timer), st.one_of(IDS, SESSIONS)),
)
FATES = st.sampled_from([OK, OK, OK, REQUEST_LOST, REPLY_LOST])
# an event from outside, a visible target by number, seconds that pass, what the network does from now on
STEP = st.one_of(
    FOREIGN,
    st.integers(0, 30).map(lambda n: ("touch", n)),
    st.integers(0, 30).map(lambda n: ("touch", n)),
    st.sampled_from([1, 5, 16, 60, 299, 300]).map(lambda s: ("advance", s)),
    FATES.map(lambda fate: ("network", fate)),
)
SLOW_IS_FINE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def do(bench, step):
    match step:
        case ("touch", n):
            targets = bench.lcd.targets
            bench.do(Act(targets[n % len(targets)].action) if targets else KeyPress("ok"))
        case ("advance", seconds):
            bench.advance(seconds)
        case ("network", fate):
            bench.host.fate = lambda _what: fate
        case event:
            bench.do(event)


def reached(model, number, steps, begin=0):
    """A terminal after some of a retroactive payment's touches and then anything at all."""
    bench = Bench(model, number)
    way = ["발달재활", "카드결제", "", "1", "0", "0", "1", "확인", "서비스결제"]
    for label in way[:begin]:
        bench.touch(label) if label else bench.tap()
    for step in steps:
        do(bench, step)
        assert_fits(bench)
    return bench


def assert_fits(bench):
    lcd, size = bench.lcd, profile(bench.model)
    assert (lcd.cols, lcd.rows, len(lcd.lines)) == (size.cols, size.rows, size.rows)
    assert {width(line) for line in lcd.lines} == {size.cols}
    assert all(0 <= span.row < lcd.rows and 0 <= span.col <= span.col + span.width <= lcd.cols for span in lcd.spans)
    assert "\x1b" not in lcd.text + "".join(lcd.lines)


@SLOW_IS_FINE
@given(st.sampled_from(BOTH), st.lists(STEP, max_size=40), st.integers(0, 9))
def test_random_events_never_raise(which, steps, begin):
    """No event in any order is a bug, and after each the picture has exactly the model's rows and cells."""
    reached(*which, steps, begin)


@SLOW_IS_FINE
@given(st.sampled_from(BOTH), st.lists(STEP, max_size=30), st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_position_is_derived(which, steps, begin, chance):
    """Any state with the same answers shows the same page, however they came there and whatever is being typed."""
    state = reached(*which, steps, begin).state
    answers = list(state.answers.items())
    chance.shuffle(answers)
    other = replace(state, answers=dict(answers), draft={"month": "1"}, focus=1, scroll=3)
    assert flow.screen(other) == flow.screen(state)
    assert view(replace(other, draft=state.draft, focus=state.focus, scroll=state.scroll)) == view(state)


@SLOW_IS_FINE
@given(st.sampled_from(BOTH), st.lists(STEP, max_size=30), st.integers(0, 9))
def test_it_always_goes_on(which, steps, begin):
    """Liveness: from wherever that led, with the network back, off and on again ends in a payment that is done."""
    bench = reached(*which, steps, begin)
    bench.host.fate = lambda _what: OK
    bench.registered = Registered(ok=True)
    if bench.state.power.value != "off":
        bench.press("power")
    bench.press("power")
    bench.advance(120)
    while bench.screen == "notice":
        bench.touch("확인")
    assert (bench.screen, bench.state.pending, bench.journal.load()) == ("program", None, None)
    bench.to_voucher()
    before = bench.host.balance_won()
    bench.touch("서비스결제")
    if bench.screen == "kind":
        bench.touch("정상결제", "확인")
    bench.press(*"10", "ok")
    assert bench.screen == "done"
    assert bench.lcd.fields["balance"] == f"{before - 10:,}원"
    assert bench.host.balance_won() == before - 10


def test_the_same_events_lead_to_the_same_log():
    """Statement 16 for the terminal: the core takes time and chance as arguments, so a seed repeats byte for byte."""
    logs = []
    for _ in range(2):
        chance = random.Random(7)
        bench = Bench("ut-77l")
        bench.host.fate = lambda _what, chance=chance: chance.choice([OK, REQUEST_LOST, REPLY_LOST])
        for _ in range(300):
            targets = bench.lcd.targets
            if bench.screen == "card":
                bench.tap()
            elif targets and chance.random() < 0.9:
                bench.do(Act(chance.choice(targets).action))
            else:
                bench.advance(chance.choice([1, 4, 30]))
        logs.append(repr(bench.effects))
    assert logs[0] == logs[1]
    assert "Pay(" in logs[0] or "Lookup(" in logs[0]
