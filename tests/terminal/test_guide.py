"""The pages against the guide: a transcript made by hand, walked on every dedicated model."""

import tomllib
from pathlib import Path

import pytest

from terminal.fields import squeeze
from tests.terminal.bench import MODELS, NEW, OLD, Bench

GUIDE = tomllib.loads((Path(__file__).parent / "guide.toml").read_text("utf-8"))
PAYMENT = {page["id"]: page for page in GUIDE["payment"]}


def look(bench, page):
    """Everything that the guide prints of this page is on the screen, and can be touched where it prints a button."""
    text = squeeze(bench.lcd.text)
    labels = {squeeze(target.label) for target in bench.lcd.targets}
    missing = [one for one in page["shows"] if squeeze(one) not in text]
    assert not missing, f"{page['section']} on {bench.model}: {missing} not in\n{bench.lcd.text}"
    for button in page["buttons"]:
        assert squeeze(button) in text
        assert squeeze(button) in labels
    if page.get("keypad"):
        assert [squeeze(key) for key in GUIDE["keypad"]] == [
            squeeze(target.label) for target in bench.lcd.targets if target.label in GUIDE["keypad"]
        ]


def walk(bench, page):
    """Do what the guide says on `page`; where the values are typed first, look afterwards."""
    assert bench.screen == page["id"], f"{page['section']}: {bench.screen} is open"
    if "look" not in page["does"]:
        look(bench, page)
    for step in page["does"]:
        what, _, value = step.partition(" ")
        match what:
            case "touch":
                bench.touch(value)
            case "type":
                bench.press(*value)
            case "tap":
                bench.tap(value)
            case "look":
                look(bench, page)
    assert bench.screen == page["next"], f"after {page['section']} on {bench.model}: {bench.screen}"


@pytest.mark.parametrize("model", MODELS)
def test_a_retroactive_payment_is_made_as_the_guide_prints_it(model):
    """Every page of section 5 shows the guide's labels and buttons, leads to the guide's next page, and pays."""
    bench = Bench(model)
    for page in GUIDE["payment"]:
        walk(bench, page)
    assert bench.host.balance_won() == 882_894
    assert len(bench.debits()) == 1


def test_the_transcript_is_of_the_whole_payment():
    """Section 5 has seven numbered pages, in this order, each marked as the guide's; the rest says that it is ours."""
    numbered = [page for page in GUIDE["payment"] if page["section"].startswith("5 ")]
    assert [page["section"][2] for page in numbered] == list("①②③④⑤⑥⑦")
    assert {page["basis"] for page in numbered} == {"S"}
    order = [page["id"] for page in GUIDE["payment"]]
    assert [page["next"] for page in GUIDE["payment"]] == [*order[1:], "program"]
    assert [page["id"] for page in GUIDE["payment"] if page["basis"] == "A"] == ["program", "means", "card"]


@pytest.mark.parametrize("model", MODELS)
def test_the_release_shows_no_further_page(model):
    """Between the guide's pages stand only two of ours, on which the host is asked: they answer themselves."""
    bench = Bench(model)
    bench.pay_retro()
    screens = [about["screen"] for about in bench.logged("page")]
    assert [one for one in screens if one not in PAYMENT] == ["booting", "lookup", "paying"]


@pytest.mark.parametrize("model", MODELS)
def test_an_update_is_verified_as_the_guide_prints_it(model):
    """메뉴 → 단말 정보 → 결제버전 shows the number that the guide names for the model; before, it does not."""
    for number, holds in ((NEW[model], True), (OLD[model], False)):
        bench = Bench(model, number)
        for page in GUIDE["verification"]:
            walk(bench, page)
        assert (squeeze(GUIDE["verified"][model]) in squeeze(bench.lcd.text)) is holds
        assert any("결제버전" in line for line in bench.lcd.lines)


@pytest.mark.parametrize("label", PAYMENT["worker"]["empty_shows"])
def test_the_workers_page_has_all_that_the_guide_prints(label):
    """제공인력 결제 ID 입력 offers the last ID, and says that one is to be typed."""
    bench = Bench()
    bench.touch("발달재활", "카드결제")
    bench.tap()
    assert squeeze(label) in squeeze(bench.lcd.text)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("program", ["발달재활", "언어발달", "부모상담"])
def test_the_old_release_knows_no_retroactive_payment(model, program):
    """Before the update no page says 소급결제: 서비스결제 leads straight to the amount; after it both are offered."""
    card = {"발달재활": "recipient-070101", "언어발달": "recipient-070201", "부모상담": "recipient-008003"}[program]
    old = Bench(model, OLD[model])
    old.to_voucher(program, card)
    old.touch("서비스결제")
    assert old.screen == "amount"
    old.press(*"1000")
    old.touch("확인")
    assert old.screen == "done"
    assert all(about["screen"] != "kind" for about in old.logged("page"))
    new = Bench(model)
    new.to_voucher(program, card)
    new.touch("서비스결제")
    assert "소급결제" in new.lcd.text


@pytest.mark.parametrize("model", MODELS)
def test_the_guides_second_vector_is_paid(model):
    """부모상담 008003: 160,000 - 1,000 = 159,000 on the done page."""
    bench = Bench(model)
    bench.to_voucher("부모상담", "recipient-008003")
    assert "잔액160,000원" in squeeze(bench.lcd.text)
    bench.touch("서비스결제", "정상결제", "확인")
    bench.press(*"1000")
    bench.touch("확인")
    assert bench.lcd.fields["balance"] == "159,000원"
    assert bench.lcd.fields["served_on"] == "1월 5일"


def test_models_differ_in_size_only():
    """The three models print the same text on every page of the payment; no flow asks which model it is."""
    texts = []
    for model in MODELS:
        bench, seen = Bench(model), []
        for page in GUIDE["payment"]:
            walk(bench, page)
            seen.append(bench.lcd.text)
        texts.append(seen)
    assert texts[0] == texts[1] == texts[2]
