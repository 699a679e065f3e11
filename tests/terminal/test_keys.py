"""Keys and fingers on every page: what each does, what is typed, what is found by its text or place."""

import datetime as dt

import pytest

from terminal import flow
from terminal.state import Act
from terminal.view import find_target
from tests.terminal.bench import KEYS, MODELS, WAY, Bench, at_page

BACK = {"cancel", "f1"}
ON = {"ok", "f2"}
LEADS = {
    "program": dict.fromkeys(("menu", "f1", "f2"), "menu"),
    "means": dict.fromkeys((*BACK, "f2"), "program"),
    "card": {"f1": "means", "f2": "program", "cancel": "program"},
    "worker": dict.fromkeys(BACK, "card") | dict.fromkeys((*ON, "up", "down"), "notice"),
    "voucher": {"f1": "kind", "f2": "notice", "cancel": "program"},
    "kind": dict.fromkeys(BACK, "voucher") | dict.fromkeys((*ON, "next"), "notice"),
    "caution": dict.fromkeys(BACK, "kind") | dict.fromkeys((*ON, "next"), "service-date"),
    "service-date": dict.fromkeys(BACK, "caution") | dict.fromkeys(ON, "notice"),
    "amount": dict.fromkeys(BACK, "service-date") | dict.fromkeys(ON, "notice"),
    "reason": dict.fromkeys(BACK, "amount") | dict.fromkeys((*ON, "next"), "notice"),
}


@pytest.mark.parametrize("name", WAY)
@pytest.mark.parametrize("key", KEYS)
def test_every_key_on_every_page(name, key):
    """A key leads where the table says, or nowhere: no page is skipped, no question answered by accident."""
    bench = at_page(name)
    before = bench.state
    bench.press(key)
    assert bench.screen == ("off" if key == "power" else LEADS[name].get(key, name))
    if bench.screen == name:
        assert bench.state.answers == before.answers
        places = flow.boxes(bench.release.pages[name])
        if key.isdigit():
            assert bench.state.draft == ({places[0][1].name: key} if places else {})
        elif key in ("up", "down") and name in ("program", "means", "kind", "reason"):
            assert len(bench.state.draft) == 1
        else:
            assert not any(bench.state.draft.values())
    assert bench.debits() == {}


@pytest.mark.parametrize("name", ["kind", "caution", "service-date", "amount", "reason", "worker", "means", "card"])
def test_soft_keys_are_the_outer_buttons(name):
    """F1 is the first button of the page and F2 its last, as the Lcd names them."""
    for key, which in (("f1", 0), ("f2", -1)):
        by_key, by_touch = at_page(name), at_page(name)
        label = by_key.lcd.keys[which]
        by_key.press(key)
        by_touch.touch(label)
        assert (by_key.screen, by_key.state.notice) == (by_touch.screen, by_touch.state.notice)


def test_digits_fill_box_after_box():
    """A full box hands on to the next; further digits are not taken; ⌫ takes the last digit, across boxes."""
    bench = at_page("service-date")
    bench.press(*"010")
    assert bench.state.draft == {"month": "01", "day": "0"}
    bench.press(*"599")
    assert bench.state.draft == {"month": "01", "day": "05"}
    seen = []
    for _ in range(5):
        bench.press("back")
        seen.append(tuple(bench.state.draft.get(name, "") for name in ("month", "day")))
    assert seen == [("01", "0"), ("01", ""), ("0", ""), ("", ""), ("", "")]
    bench.press(*"15")
    assert bench.state.draft["month"] == "15"


def test_next_visits_the_boxes_in_turn():
    """다음 leaves a box that is not full, and comes round to the first again."""
    bench = at_page("service-date")
    bench.press("1", "next", "5")
    assert bench.state.draft == {"month": "1", "day": "5"}
    bench.press("next", "2")
    assert bench.state.draft == {"month": "12", "day": "5"}
    bench.touch("다음")
    assert bench.state.focus == 0


@pytest.mark.parametrize(("name", "most"), [("worker", 10), ("amount", 9)])
def test_a_box_takes_no_more_than_it_holds(name, most):
    """The only box of a page takes its digits and ignores what comes after."""
    bench = at_page(name)
    bench.press(*"1234567890123")
    assert list(map(len, bench.state.draft.values())) == [most]


@pytest.mark.parametrize("digits", ["０１０５", "٠١٠٥"])
def test_full_width_digits_are_digits(digits):
    """What a Korean IME sends for a digit is taken as that digit, and shown as one cell."""
    bench = at_page("service-date")
    bench.press(*digits)
    assert bench.state.draft == {"month": "01", "day": "05"}
    bench.press("ok")
    assert bench.state.answers["service_date"] == dt.date(2026, 1, 5)


@pytest.mark.parametrize("key", ["²", "①", "a", "", "12", "ㄱ", "\n", "-1", "½"])
def test_what_is_no_digit_is_not_typed(key):
    """Characters that only look like numbers never reach a box."""
    bench = at_page("amount")
    bench.press(key)
    bench.do(Act(f"digit:{key}"))
    assert bench.state.draft == {}


def test_up_and_down_choose_round_about():
    """Down begins at the first item, up at the last, both go round; 확인 takes what is chosen."""
    bench = Bench()
    names = [program.code for program in bench.release.programs]
    for key, order in (("down", [0, 1, 2, 0]), ("up", [2, 1, 0, 2])):
        fresh = Bench()
        for at in order:
            fresh.press(key)
            assert fresh.state.draft == {"program": names[at]}
    bench.press("down", "down", "ok")
    assert (bench.screen, bench.state.answers["program"]) == ("means", names[1])


def test_what_does_not_fit_can_be_scrolled():
    """On the smallest screen the end of the caution can be brought into sight, and its beginning again."""
    bench = at_page("caution", "ut-55l")
    first = bench.lcd.lines
    assert not any("(4)" in line for line in first)
    assert "1/3" in first[0]
    steps = 0
    while not any("(4)" in line for line in bench.lcd.lines):
        bench.press("down")
        steps += 1
        assert steps < 20
    bench.press(*["up"] * steps)
    assert bench.lcd.lines == first


def test_scrolling_stops_at_the_end():
    """However often down was pressed, up moves the page at once."""
    bench = at_page("caution", "ut-55l")
    bench.press(*["down"] * 30)
    end = bench.lcd.lines
    assert bench.press("up").lines != end


def test_what_is_out_of_sight_can_be_touched_by_name():
    """A reason below the edge of the screen is found by its text, and comes into sight chosen."""
    bench = at_page("reason", "ut-55l")
    assert not any("업그레이드" in line for line in bench.lcd.lines)
    bench.touch("단말기업그레이드")
    assert any("● 단말기업그레이드" in line for line in bench.lcd.lines)


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("단말기", "ambiguous"),
        ("카드", "choose:카드 분실, 훼손 등"),
        ("단말기분실,고장등", "choose:단말기 분실, 고장 등"),
        ("  단말기  분실 ", "choose:단말기 분실, 고장 등"),
        ("분실", "none"),
        ("", "none"),
        ("서비스결제", "none"),
        ("확인", "ok"),
    ],
)
def test_a_touch_by_text(label, found):
    """Exact but for spaces, else a unique beginning; nothing and several are told apart, never guessed."""
    target = find_target(at_page("reason").lcd, label)
    assert (target if isinstance(target, str) else target.action) == found


@pytest.mark.parametrize("model", MODELS)
def test_touching_where_it_is_drawn(model):
    """The whole payment by cell instead of by name: what lies under the finger is what was meant."""
    bench = Bench(model)

    def tap_cell(label):
        target = find_target(bench.lcd, label)
        hit = bench.lcd.at(target.row, target.col + target.width // 2)
        assert hit == target
        bench.do(Act(hit.action))

    for label in ("발달재활", "카드결제"):
        tap_cell(label)
    bench.tap()
    for label in (
        *"1001",
        "확인",
        "서비스결제",
        "소급결제",
        "확인",
        "다음",
        "1",
        "다음",
        "5",
        "확인",
        *"15000",
        "확인",
    ):
        tap_cell(label)
    for label in ("단말기 분실", "확인"):
        tap_cell(label)
    assert bench.screen == "done"
    assert bench.host.balance_won() == 882_894


def test_the_last_workers_id_can_be_called_back():
    """직전ID선택 types the ID of the voucher opened before; without one it says so, and nothing is typed."""
    bench = at_page("worker")
    bench.touch("직전ID선택")
    assert bench.screen == "notice"
    bench.touch("확인")
    bench.press(*"1001")
    bench.touch("확인")
    assert bench.screen == "voucher"
    bench.touch("취소", "발달재활", "카드결제")
    bench.tap()
    assert "1001" not in bench.lcd.text
    bench.touch("직전ID선택", "확인")
    assert bench.screen == "voucher"
    bench.touch("취소", "발달재활", "카드결제")
    bench.tap()
    bench.press("up", "ok")
    assert bench.screen == "voucher"


def test_a_touch_on_the_part_shows_the_next_one():
    """`1/3` in the title leads to 2/3, to 3/3 and back to the beginning."""
    bench = at_page("caution", "ut-55l")
    first = bench.lcd.lines
    for part, leads_to in (("1/3", "2/3"), ("2/3", "3/3"), ("3/3", "1/3")):
        bench.touch(part)
        assert leads_to in bench.lcd.lines[0]
    assert bench.lcd.lines == first
