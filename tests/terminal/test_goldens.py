"""A picture of every page of every model under both releases, as text.

UTBENCH_GOLDENS=write makes them anew; read the difference before you keep it. `~ 12` stands for twelve blank rows.
"""

import itertools
import os
from pathlib import Path

import pytest

from devices.profiles import profile
from terminal.lcd import width
from terminal.state import Act, Registered
from tests.terminal.bench import BOTH, OK, REPLY_LOST, REQUEST_LOST, Bench

GOLDENS = Path(__file__).parent / "goldens"
WRITE = os.environ.get("UTBENCH_GOLDENS") == "write"


class Album:
    """Pictures by name, in the order in which they were taken."""

    def __init__(self):
        self.pictures = {}

    def take(self, name, bench):
        self.pictures[name] = bench.lcd

    def text(self):
        return "".join(f"== {name}\n" + "".join(_rows(lcd.lines)) for name, lcd in self.pictures.items())


def _rows(lines):
    for blank, run in itertools.groupby(lines, key=lambda line: not line.strip()):
        kept = list(run)
        if blank and len(kept) > 2 and len(set(kept)) == 1:
            yield f"~ {len(kept)}\n"
        else:
            yield from (f"|{line}|\n" for line in kept)


def photograph(model, number):
    album = Album()
    _device_pages(album, model, number)
    bench = Bench(model, number)
    _identify(album, bench)
    if ("amount", "retro") in bench.release.flows:
        _retro(album, bench)
    _normal(album, Bench(model, number))
    _in_doubt(album, Bench(model, number))
    return album


def _device_pages(album, model, number):
    bench = Bench(model, number, on=False)
    album.take("off", bench)
    bench.apply(Act("power"))
    album.take("booting", bench)
    bench.registered = Registered(ok=False, note="업데이트 서버가 설정되지 않았습니다.")
    bench.deliver()
    album.take("unregistered", bench)
    bench = Bench(model, number)
    bench.touch("메뉴")
    album.take("menu", bench)
    bench.touch("단말 정보")
    album.take("info", bench)


def _identify(album, bench):
    album.take("program", bench)
    bench.press("down", "down")
    album.take("program, second chosen", bench)
    bench.touch("발달재활")
    album.take("means", bench)
    bench.touch("카드결제")
    album.take("card", bench)
    bench.tap()
    album.take("worker", bench)
    bench.press(*"1001")
    album.take("worker, typed", bench)
    bench.apply(Act("ok"))
    album.take("lookup", bench)
    bench.deliver()
    album.take("voucher", bench)
    bench.touch("거래취소")
    album.take("notice: no cancel", bench)
    bench.touch("확인", "서비스결제")


def _retro(album, bench):
    album.take("kind", bench)
    bench.touch("소급결제")
    album.take("kind, chosen", bench)
    bench.touch("확인")
    album.take("caution", bench)
    bench.press(*["down"] * 30)
    album.take("caution, its end", bench)
    bench.touch("다음")
    album.take("service-date", bench)
    bench.press(*"010")
    album.take("service-date, typed", bench)
    bench.press("back", *"05")
    bench.touch("확인")
    bench.press(*"15000")
    bench.touch("확인")
    album.take("reason", bench)
    bench.touch("확인")
    album.take("notice: no reason", bench)
    bench.touch("확인", "단말기업그레이드")
    album.take("reason, last chosen", bench)
    bench.touch("단말기 분실", "확인")
    album.take("done", bench)


def _normal(album, bench):
    bench.to_voucher()
    bench.touch("서비스결제")
    if bench.screen == "kind":
        bench.touch("정상결제", "확인")
    album.take("amount", bench)
    bench.press(*"900000")
    album.take("amount, typed", bench)
    bench.touch("확인")
    album.take("notice: SIM-BALANCE", bench)
    bench.advance(300)
    album.take("notice: session closed", bench)
    bench.touch("확인")
    assert bench.screen == "program"


def _in_doubt(album, bench):
    fates = iter([OK, REQUEST_LOST])
    bench.host.fate = lambda _what: next(fates, REPLY_LOST)
    bench.to_voucher()
    bench.touch("서비스결제")
    if bench.screen == "kind":
        bench.touch("정상결제", "확인")
    bench.press(*"15000")
    bench.apply(Act("ok"))
    album.take("paying", bench)
    bench.deliver()
    album.take("paying, again", bench)
    bench.advance(16)
    album.take("reversing, again", bench)
    bench.host.fate = lambda _what: OK
    bench.advance(60)
    album.take("notice: reversed", bench)


@pytest.mark.parametrize(("model", "number"), BOTH)
def test_every_page_looks_as_it_did(model, number):
    """Each page of the model under the release is, cell for cell, the picture that was looked at and kept."""
    path = GOLDENS / f"{model}-{number}.txt"
    text = photograph(model, number).text()
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize(("model", "number"), BOTH)
def test_every_picture_fills_its_grid(model, number):
    """Each golden page has exactly the model's rows, and each of its lines exactly the model's cells."""
    size = profile(model)
    pages = (GOLDENS / f"{model}-{number}.txt").read_text("utf-8").split("== ")[1:]
    assert len(pages) >= 20
    for page in pages:
        name, *lines = page.splitlines()
        drawn = [line for line in lines if not line.startswith("~ ")]
        assert {line[0] + line[-1] for line in drawn} <= {"||"}, name
        assert {width(line[1:-1]) for line in drawn} <= {size.cols}, name
        assert len(drawn) + sum(int(line[2:]) for line in lines if line.startswith("~ ")) == size.rows, name
    for name, lcd in photograph(model, number).pictures.items():
        assert [width(line) for line in lcd.lines] == [size.cols] * size.rows, name


@pytest.mark.parametrize(("model", "number"), BOTH)
def test_nothing_is_cut_or_out_of_line(model, number):
    """No style, touch or value begins or ends within a Hangul syllable; values of one page start in one column."""
    for name, lcd in photograph(model, number).pictures.items():
        edges = [_edges(line) for line in lcd.lines]
        spots = [*lcd.spans, *(target for target in lcd.targets if target.row is not None)]
        for spot in spots:
            assert {spot.col, spot.col + spot.width} <= edges[spot.row], f"{name}: {spot}"
        if model == "ut-99l" and name in ("voucher", "info", "done"):
            assert len({span.col for span in lcd.spans if span.style == "value"}) == 1, name


@pytest.mark.parametrize(("model", "number"), BOTH)
def test_a_finger_hits_what_it_sees(model, number):
    """Every cell that a button or item covers touches that one, and no cell belongs to two."""
    for name, lcd in photograph(model, number).pictures.items():
        seen = {}
        for target in lcd.targets:
            if target.row is None:
                continue
            for col in range(target.col, target.col + target.width):
                assert (target.row, col) not in seen, f"{name}: {target} over {seen.get((target.row, col))}"
                seen[target.row, col] = target
                assert lcd.at(target.row, col) == target


def test_the_two_releases_differ_where_the_update_says():
    """Old and new release have the same pages but for those of the retroactive payment, which only the new one has."""
    names = [list(photograph("ut-77l", number).pictures) for number in (1013, 1014)]
    more = [name for name in names[1] if name not in names[0]]
    assert {name.split(",")[0] for name in more} == {
        "kind",
        "caution",
        "service-date",
        "reason",
        "notice: no reason",
        "done",
    }
    assert [name for name in names[1] if name in names[0]] == names[0]


def _edges(line):
    """The columns at which a character begins, and the one after the last."""
    out, at = {0}, 0
    for char in line:
        at += width(char)
        out.add(at)
    return out
