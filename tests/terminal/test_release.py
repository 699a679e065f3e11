"""A release's self-test: whatever would make the terminal stumble later is found before it is confirmed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.errors import UtbenchError
from terminal.firmware import make_image, read_release, release_text, shipped
from terminal.release import ENGINE, ReleaseError, load
from terminal.state import Act, KeyPress
from tests.terminal.bench import MODELS, NEW, OLD, Bench

TEXT = release_text("ut-77l", 1014).decode()
LINES = TEXT.splitlines()


def changed(old, new):
    assert TEXT.count(old) >= 1, old
    return TEXT.replace(old, new, 1).encode()


@pytest.mark.parametrize("model", MODELS)
def test_what_ships_passes(model):
    """Every release that comes with utbench passes its own self-test, for its own model and no other."""
    assert shipped(model) == (OLD[model], NEW[model])
    for number in shipped(model):
        text = release_text(model, number)
        release = load(text, model)
        assert (release.model, release.payment_version, release.sw_version) == (model, number, f"1.0.{number}")
        for other in set(MODELS) - {model}:
            with pytest.raises(ReleaseError, match=f"it is for {model}"):
                load(text, other)


FAULTS = [
    ("schema = 1", "schema = 2", "schema 2"),
    ("schema = 1\n", "", "schema None"),
    ("min_engine = 1", f"min_engine = {ENGINE + 1}", f"engine {ENGINE + 1}"),
    ("min_engine = 1", 'min_engine = "1"', "engine"),
    ("min_engine = 1\n", "", "engine None"),
    ('model = "ut-77l"', 'model = "ut-78l"', "unknown model 'ut-78l'"),
    ('model = "ut-77l"\n', "", "'model'"),
    ("payment_version = 1014\n", "", "'payment_version'"),
    ("payment_version = 1014", 'payment_version = "neu"', "neu"),
    ('kind = "amount"', 'kind = "time"', "no flow of kind 'time'"),
    ('means = ["card"]', 'means = ["qr"]', "unknown means 'qr'"),
    ('means = ["card"]', 'means = ["cash"]', "unknown means 'cash'"),
    ('means = ["card"]', "means = []", "names no means"),
    ('means = ["card"]\n', "", "'means'"),
    ('"caution", "service-date"', '"warning", "service-date"', "unknown page 'warning'"),
    ('fields = ["amount_won"]', 'fields = ["amount_eur"]', "unknown field 'amount_eur'"),
    ('fields = ["amount_won"]', "fields = []", "asks nothing"),
    ('fields = ["amount_won"]\n', "", "'fields'"),
    ('"program_code", "balance"', '"program_code", "birthday"', "unknown row 'birthday'"),
    ('buttons = ["이전", "확인"]', 'buttons = ["이전", "결제"]', "unknown button '결제'"),
    ('buttons = ["이전", "확인"]', "buttons = [7]", "buttons"),
    ('buttons = ["이전", "확인"]', 'buttons = "확인"', "buttons"),
    ("[page.kind]", "[page.sort]", "page 'kind' is missing"),
    ('title = "소급결제사유"', "title = 7", "title"),
    ('prompt = "결제유형"', "prompt = 7", "prompt"),
    ('fields = ["reason"]', 'fields = [["reason"]]', "fields"),
    ('show = ["institution"', 'show = [["institution"]', "show"),
    ('"paying", "done"]', '["paying"], "done"]', "pages"),
    ('retro = "소급결제"\n', "", "'retro' is missing"),
    ('month = "월"', 'month = ""', "'month' is missing"),
    # flows that cannot be walked, or end without a payment
    ('pages = ["amount", "paying", "done"]', 'pages = ["amount", "done"]', "amount.normal"),
    ('pages = ["amount", "paying", "done"]', 'pages = ["amount", "paying"]', "amount.normal"),
    ('pages = ["amount", "paying", "done"]', 'pages = ["paying", "amount", "done"]', "amount.normal"),
    ('"amount", "reason", "paying"', '"amount", "paying", "reason"', "amount.retro"),
    ('"service-date", "amount", "reason"', '"reason", "amount", "service-date"', "amount.retro"),
    ('"caution", "service-date", "amount"', '"caution", "amount"', "amount.retro"),
    ('"means", "card", "worker"', '"means", "worker"', "identify.card"),
    ('pages = ["program", "means"', 'pages = ["means"', "identify.card"),
    ('"lookup", "voucher"]', '"voucher", "lookup"]', "identify.card"),
]


@pytest.mark.parametrize(("old", "new", "named"), FAULTS, ids=range(len(FAULTS)))
def test_each_fault_is_found_and_named(old, new, named):
    """A fault is refused with a sentence that names it, never run and never a traceback."""
    with pytest.raises(ReleaseError) as refusal:
        load(changed(old, new), "ut-77l")
    assert named in refusal.value.message
    assert refusal.value.hint


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"a = ", b"schema = 1", b"[[program]]\n", b"page = 3\nflow = 4"])
def test_what_is_no_release_is_refused(text):
    """Empty, binary, broken or foreign files are refused in one sentence."""
    with pytest.raises(ReleaseError):
        load(text)


VALUES = ["7", "[]", "{}", "true", '""', '"확인"', '["확인"]', '["program"]', "[[1]]", "2026-01-05", "-1.5"]
EDIT = st.one_of(
    st.tuples(st.just("drop"), st.integers(0, len(LINES) - 1), st.just("")),
    st.tuples(st.just("swap"), st.integers(0, len(LINES) - 2), st.just("")),
    st.tuples(st.just("value"), st.integers(0, len(LINES) - 1), st.sampled_from(VALUES)),
)


def edited(edits):
    lines = list(LINES)
    for what, at, value in edits:
        match what:
            case "drop":
                lines[at] = ""
            case "swap":
                lines[at], lines[at + 1] = lines[at + 1], lines[at]
            case "value" if " = " in lines[at] and '"""' not in lines[at]:
                lines[at] = lines[at].split(" = ")[0] + f" = {value}"
    return "\n".join(lines).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EDIT, min_size=1, max_size=2), st.lists(st.integers(0, 20), max_size=25))
def test_what_passes_can_be_run(edits, touches):
    """A release that was tampered with is either refused in a sentence, or every page that it leads to can be drawn."""
    try:
        release = load(edited(edits), "ut-77l")
    except ReleaseError:
        return
    bench = Bench("ut-77l", release=release)
    for touch in touches:
        if bench.screen == "card":
            bench.tap()
        elif bench.screen == "worker":
            bench.press(*"1001", "ok")
        elif bench.lcd.targets:
            bench.do(Act(bench.lcd.targets[touch % len(bench.lcd.targets)].action))
        else:
            bench.do(KeyPress("ok"))
    assert bench.screen != "done" or bench.debits(), "paid without a debit"


def test_an_image_carries_its_release(image_key):
    """Packed, signed, parsed and unpacked again the release is the same; another file than an archive is refused."""
    from ota.image import parse, verify

    pem, public = image_key
    image = parse(make_image(TEXT.encode(), pem, asset_bytes=1024))
    verify(image, public)
    assert (image.version, image.payment_version) == ("1.0.1014", 1014)
    assert read_release(image.payload, "ut-77l") == load(TEXT.encode())
    with pytest.raises(ReleaseError):
        read_release(image.payload, "ut-55l")
    with pytest.raises(UtbenchError):
        read_release(b"no archive at all")
    with pytest.raises(ReleaseError):
        make_image(changed("schema = 1", "schema = 9"), pem)


@pytest.fixture(scope="module")
def image_key():
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from simulators.keys import private_pem

    key = Ed25519PrivateKey.generate()
    return private_pem(key), key.public_key()
