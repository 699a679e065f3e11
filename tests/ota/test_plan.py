from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import Refused
from devices.groups import SlotState, Status
from ota.plan import LEAST_BATTERY, LEAST_FREE_BYTES, Kind, Rules, decide, preflight
from ota.trust import TufTarget

WELL = Status(screen="home", rev=1, busy=False, power="on", battery=87)
ROOM = 1 << 40
MODEL = "ut-77l"
FAULTS = {
    "despite-battery": (replace(WELL, battery=10), ROOM, "10 %, under 30 %"),
    "despite-payment": (replace(WELL, busy=True), ROOM, "payment is in progress"),
    "despite-disk": (WELL, 1 << 20, "Only 1 MiB"),
}
RUNNING = SlotState(0, "1.0.1014", b"\x14" * 32, bootable=True, confirmed=True, active=True)


def target(version: int) -> TufTarget:
    return TufTarget(f"ut-77l-{version}.bin", 532_668, "ab" * 32, "ut-77l", version, version)


def lifting(*names: str, **rules) -> Rules:
    return Rules(**{name.replace("-", "_"): True for name in names}, **rules)


def test_nothing_in_the_way():
    """A terminal that is well passes without any override."""
    assert preflight(MODEL, WELL, ROOM, Rules()) == ()


@pytest.mark.parametrize("name", FAULTS)
def test_each_reason_why_not(name):
    """Each obstacle is refused with its own sentence, which names the flag that lifts it."""
    status, free, says = FAULTS[name]
    with pytest.raises(Refused, match=says) as caught:
        preflight(MODEL, status, free, Rules())
    assert f"--{name}" in caught.value.hint


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("flag", FAULTS)
def test_each_has_its_own_flag(name, flag):
    """A flag lifts its own obstacle, which is then recorded, and no other."""
    status, free, says = FAULTS[name]
    if flag == name:
        assert preflight(MODEL, status, free, lifting(flag)) == (name,)
    else:
        with pytest.raises(Refused, match=says):
            preflight(MODEL, status, free, lifting(flag))


def test_several_obstacles():
    """All obstacles that were lifted are recorded; one that was not still refuses."""
    status = replace(WELL, battery=3, busy=True)
    assert preflight(MODEL, status, ROOM, lifting(*FAULTS)) == ("despite-battery", "despite-payment")
    with pytest.raises(Refused, match="payment"):
        preflight(MODEL, status, ROOM, lifting("despite-battery"))


def test_a_flag_that_was_not_needed_is_no_override():
    """Flags given without need are not recorded as overrides."""
    assert preflight(MODEL, WELL, ROOM, lifting(*FAULTS)) == ()


@pytest.mark.parametrize(("battery", "passes"), [(LEAST_BATTERY, True), (LEAST_BATTERY - 1, False), (None, True)])
def test_battery_boundary(battery, passes):
    """30 % is enough, 29 % is not; a terminal without a battery has none to be empty."""
    if passes:
        assert preflight(MODEL, replace(WELL, battery=battery), LEAST_FREE_BYTES, Rules()) == ()
    else:
        with pytest.raises(Refused):
            preflight(MODEL, replace(WELL, battery=battery), LEAST_FREE_BYTES, Rules())


def test_update():
    """A newer release is an update, said with both versions and the size."""
    plan = decide(1013, target(1014), (RUNNING,), Rules())
    assert plan.kind is Kind.UPDATE
    assert plan.sentence == "1013 → 1014, 532,668 bytes"
    assert plan.overrides == ()


def test_up_to_date():
    """The same release is up to date; one that runs on trial is said to be."""
    plan = decide(1014, target(1014), (RUNNING,), Rules())
    assert (plan.kind, plan.running) == (Kind.UP_TO_DATE, "14" * 32)
    trial = decide(1014, target(1014), (replace(RUNNING, confirmed=False),), Rules())
    assert "unconfirmed" in trial.sentence


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("reason", ["", "  ", "1014 신고 접수"])
def test_downgrade_needs_flag_and_reason(flag, reason):
    """An older release is refused unless both the flag and a reason are given; then the reason is recorded."""
    rules = Rules(allow_downgrade=flag, reason=reason)
    if flag and reason.strip():
        plan = decide(1014, target(1013), (RUNNING,), rules)
        assert plan.kind is Kind.DOWNGRADE
        assert plan.overrides == ("downgrade: 1014 신고 접수",)
        assert reason in plan.sentence
    else:
        with pytest.raises(Refused, match="older than the 1014") as caught:
            decide(1014, target(1013), (RUNNING,), rules)
        assert "--allow-downgrade --reason" in caught.value.hint


versions = st.integers(1, 9999)


@given(versions, versions, st.booleans(), st.sampled_from(["", "why"]))
def test_never_older_by_itself(running, wanted, flag, reason):
    """Whatever the versions: an older release is only ever planned with flag and reason, and called a downgrade."""
    try:
        plan = decide(running, target(wanted), (RUNNING,), Rules(allow_downgrade=flag, reason=reason))
    except Refused:
        assert wanted < running
        assert not (flag and reason)
        return
    order = (wanted > running) - (wanted < running)
    assert plan.kind is {1: Kind.UPDATE, 0: Kind.UP_TO_DATE, -1: Kind.DOWNGRADE}[order]


@pytest.mark.parametrize("model", ["phone", "ut-88x", ""])
def test_a_model_that_is_not_updated_over_serial(model):
    """The phone app and unknown models are refused with the reason, before the server is asked."""
    with pytest.raises(Refused, match="no model that is updated over serial"):
        preflight(model, WELL, ROOM, lifting(*FAULTS))
