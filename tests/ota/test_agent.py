"""The agent's state machine: every (step, event) pair, and whole updates against a model that dies anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import Refused
from devices.groups import Identity, SlotState, Status
from ota import agent
from ota.agent import Outcome, Step, Update, advance
from ota.ddi import Deployment, Handling
from ota.plan import Rules
from ota.trust import TufTarget
from ota.verify import Verification

OLD, NEW, OTHER = b"\x0d" * 32, b"\x0e" * 32, b"\x99" * 32
STATUS = Status(screen="home", rev=1, busy=False, power="on", battery=87)
TARGET = TufTarget("ut-77l-1014.bin", 532_668, "ab" * 32, "ut-77l", 1014, 1014)
DEPLOYMENT = Deployment("7", "http://x/deploymentBase/7", Handling.FORCED, Handling.FORCED, ())
UPDATE = Update(
    serial="S",
    model="ut-77l",
    controller_id="ut-77l-S",
    from_version=1013,
    to_version=1014,
    action_id="7",
    action_url=DEPLOYMENT.url,
    target_name=TARGET.name,
    digest=NEW.hex(),
)


def identity(version: int = 1013) -> Identity:
    return Identity("ut-77l", "S", "1", version, f"1.0.{version}", registered=True)


def slots(running: bytes, other: bytes | None = None, *, trial: bool = False) -> tuple[SlotState, ...]:
    found = [SlotState(0, "1.0.1", running, bootable=True, active=True, confirmed=not trial)]
    if other is not None:
        found.append(SlotState(1, "1.0.2", other, bootable=True, confirmed=trial))
    return tuple(found)


def at(step: Step, **changes) -> Update:
    return replace(UPDATE, step=step, **changes)


PROOF = Verification(running=1014, shown=1014)
EVENTS = {
    "identified": agent.Identified(identity(), STATUS, slots(OLD), None),
    "checked": agent.Checked(STATUS, 1 << 40),
    "polled": agent.Polled(DEPLOYMENT),
    "resolved": agent.Resolved(TARGET, slots(OLD)),
    "downloaded": agent.Downloaded(NEW.hex(), slots(OLD)),
    "done": agent.Done(),
    "slots read": agent.SlotsRead(slots(NEW, OLD)),
    "verified": agent.Verified(PROOF, slots(NEW, OLD, trial=True)),
}
LEGAL = {
    (Step.IDENTIFY, "identified"): Step.PREFLIGHT,
    (Step.PREFLIGHT, "checked"): Step.POLL,
    (Step.POLL, "polled"): Step.RESOLVE,
    (Step.RESOLVE, "resolved"): Step.DOWNLOAD,
    (Step.DOWNLOAD, "downloaded"): Step.TRANSFER,
    (Step.TRANSFER, "done"): Step.READ_BACK,
    (Step.READ_BACK, "slots read"): Step.REPORT,  # the old image is there, not the new one
    (Step.MARK, "done"): Step.RESTART,
    (Step.RESTART, "slots read"): Step.VERIFY,
    (Step.VERIFY, "verified"): Step.CONFIRM,
    (Step.ROLL_BACK, "slots read"): Step.REPORT,
    (Step.GIVE_WAY, "slots read"): Step.VERIFY,
    (Step.CONFIRM, "slots read"): Step.REPORT,
    (Step.REPORT, "done"): Step.DONE,
}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("step", Step)
def test_every_pair(step, name):
    """Every event in every step leads where the table says, or is a bug that is named."""
    following = LEGAL.get((step, name))
    if following is None:
        with pytest.raises(AssertionError, match=f"in step {step}"):
            advance(at(step), EVENTS[name], Rules())
    else:
        assert advance(at(step), EVENTS[name], Rules()).step is following


def test_another_image_on_trial_goes_back_first():
    """While an image that nobody wants is on trial, slot 1 holds the way back: it goes back before anything is sent."""
    trial = slots(OTHER, OLD, trial=True)
    update = advance(at(Step.DOWNLOAD), agent.Downloaded(NEW.hex(), trial), Rules())
    assert update.step is Step.GIVE_WAY
    assert advance(update, agent.SlotsRead(slots(OLD, OTHER)), Rules()).step is Step.TRANSFER


# -- how it ends


def test_revert_is_a_failure():
    """A restart after which the old image runs is a failure and is reported as one."""
    ended = advance(at(Step.RESTART), agent.SlotsRead(slots(OLD, NEW)), Rules())
    assert (ended.step, ended.outcome, ended.verified) == (Step.REPORT, Outcome.FAILED, False)
    assert "runs the old image" in ended.reason


def test_read_back_must_be_what_was_sent():
    """Nothing is marked unless the slot reads back as the image that was sent."""
    assert advance(at(Step.READ_BACK), agent.SlotsRead(slots(OLD, NEW)), Rules()).step is Step.MARK
    for other in (OTHER, None):
        ended = advance(at(Step.READ_BACK), agent.SlotsRead(slots(OLD, other)), Rules())
        assert (ended.step, ended.outcome) == (Step.REPORT, Outcome.FAILED)


@pytest.mark.parametrize(
    "seen", [Verification(1013, 1013), Verification(1014, 1013), Verification(1014, None), Verification(1013, 1014)]
)
@pytest.mark.parametrize("trial", [True, False])
def test_wrong_version_is_rolled_back(seen, trial):
    """Unless device and screen both name the new version, an image on trial is rolled back, and it has failed."""
    ended = advance(at(Step.VERIFY), agent.Verified(seen, slots(NEW, OLD, trial=trial)), Rules())
    assert ended.step is (Step.ROLL_BACK if trial else Step.REPORT)
    assert (ended.outcome, ended.verified) == (Outcome.FAILED, False)
    assert advance(at(Step.ROLL_BACK, outcome=Outcome.FAILED), EVENTS["slots read"], Rules()).outcome is Outcome.FAILED


@pytest.mark.parametrize("kept", [slots(NEW, OLD, trial=True), slots(OLD, NEW), ()])
def test_confirmation_that_did_not_hold(kept):
    """An update is only done when the terminal says that the new image is active and confirmed."""
    ended = advance(at(Step.CONFIRM, outcome=Outcome.UPDATED, verified=True), agent.SlotsRead(kept), Rules())
    assert (ended.step, ended.outcome, ended.verified) == (Step.REPORT, Outcome.FAILED, False)


def test_nothing_assigned_and_cancelled():
    """Without a deployment there is nothing to do; a cancelled one ends without touching the terminal."""
    nothing = advance(at(Step.POLL), agent.Polled(None), Rules())
    assert (nothing.step, nothing.outcome) == (Step.DONE, Outcome.NOTHING)
    cancelled = advance(at(Step.POLL), agent.Polled(None, cancelled=True), Rules())
    assert (cancelled.step, cancelled.outcome) == (Step.DONE, Outcome.CANCELLED)


@pytest.mark.parametrize(("running", "outcome"), [(1013, Outcome.PLANNED), (1014, Outcome.UP_TO_DATE)])
def test_dry_run_ends_at_the_plan(running, outcome):
    """A dry run ends with the plan's sentence, before anything is fetched."""
    ended = advance(at(Step.RESOLVE, from_version=running), EVENTS["resolved"], Rules(dry_run=True))
    assert (ended.step, ended.outcome) == (Step.DONE, outcome)
    assert ended.reason


def test_up_to_date_is_verified_too():
    """The same release is not sent again, but read from the running terminal, kept, and reported as up to date."""
    state = advance(at(Step.RESOLVE, from_version=1014), agent.Resolved(TARGET, slots(NEW)), Rules())
    assert (state.step, state.digest) == (Step.VERIFY, NEW.hex())
    state = advance(state, agent.Verified(PROOF, slots(NEW)), Rules())
    assert (state.step, state.outcome, state.verified) == (Step.CONFIRM, Outcome.UP_TO_DATE, True)


def test_a_downgrade_is_recorded_beside_other_overrides():
    """Every override of an update is kept: those of the preflight and the downgrade with its reason."""
    state = at(Step.RESOLVE, from_version=1015, overrides=("despite-battery",))
    with pytest.raises(Refused):
        advance(state, EVENTS["resolved"], Rules())
    state = advance(state, EVENTS["resolved"], Rules(allow_downgrade=True, reason="신고"))
    assert (state.step, state.overrides) == (Step.DOWNLOAD, ("despite-battery", "downgrade: 신고"))


# -- going on


@pytest.mark.parametrize(
    ("there", "following"),
    [(slots(NEW, OLD, trial=True), Step.VERIFY), (slots(OLD, NEW), Step.MARK), (slots(OLD, OTHER), Step.TRANSFER)],
)
def test_goes_on_from_what_the_terminal_has(there, following):
    """An image that runs is verified, one that lies in the other slot is marked, any other is sent."""
    assert advance(at(Step.DOWNLOAD), agent.Downloaded(NEW.hex(), there), Rules()).step is following


def resumed(saved: Update | None, there, rules: Rules | None = None) -> Update:
    return advance(Update(), agent.Identified(identity(), STATUS, there, saved), rules or Rules())


@pytest.mark.parametrize("step", [Step.RESTART, Step.VERIFY, Step.CONFIRM])
def test_resumed_while_the_new_image_runs(step):
    """Broken off after the restart: the image that runs is verified, and where it came from is remembered."""
    state = resumed(at(step), slots(NEW, OLD, trial=True))
    assert (state.step, state.from_version, state.action_id) == (Step.VERIFY, 1013, "7")


@pytest.mark.parametrize("step", [Step.RESOLVE, Step.DOWNLOAD, Step.TRANSFER, Step.MARK, Step.RESTART, Step.VERIFY])
def test_resumed_while_the_old_image_runs(step):
    """Broken off before, or reverted since: all checks again, from what runs now, with no verdict left over."""
    state = resumed(at(step, outcome=Outcome.UPDATED, verified=True), slots(OLD, NEW))
    assert (state.step, state.outcome, state.verified, state.from_version) == (Step.PREFLIGHT, None, False, 1013)


@pytest.mark.parametrize("outcome", [Outcome.UPDATED, Outcome.FAILED])
def test_an_owed_report_is_sent_first(outcome):
    """A report that was never heard is sent as it stands, whatever the terminal runs now; nothing is rolled back."""
    saved = at(Step.REPORT, outcome=outcome, verified=outcome is Outcome.UPDATED, reason="because")
    assert resumed(saved, slots(OLD)) == saved


def test_dry_run_does_not_go_on():
    """A dry run of an update that was broken off only shows the plan."""
    for step in (Step.REPORT, Step.VERIFY):
        state = resumed(at(step), slots(NEW, OLD, trial=True), Rules(dry_run=True))
        assert (state.step, state.action_id) == (Step.PREFLIGHT, "")


# -- whole updates


class Killed(BaseException):
    """The agent's process ends here."""


@dataclass
class Bench:
    """A terminal with two slots, a server with one open action, and an agent's saved state."""

    bad_image: bool = False
    bad_screen: bool = False
    running: bytes = OLD
    other: bytes | None = None
    trial: bool = False
    marked: bool = False
    saved: Update | None = None
    reports: list[Outcome | None] = field(default_factory=list)

    def slots(self) -> tuple[SlotState, ...]:
        return slots(self.running, self.other, trial=self.trial)

    def restart(self) -> None:
        swap = self.trial or (self.marked and not self.bad_image)
        if swap:
            assert self.other is not None
            self.running, self.other = self.other, self.running
            self.trial = not self.trial
        self.marked = False

    def version(self) -> int:
        return 1014 if self.running == NEW else 1013

    def perform(self, update: Update) -> agent.Event:
        match update.step:
            case Step.IDENTIFY:
                return agent.Identified(identity(self.version()), STATUS, self.slots(), self.saved)
            case Step.PREFLIGHT:
                return EVENTS["checked"]
            case Step.POLL:
                return agent.Polled(None if self.reports else DEPLOYMENT)
            case Step.RESOLVE:
                return agent.Resolved(TARGET, self.slots())
            case Step.DOWNLOAD:
                return agent.Downloaded(NEW.hex(), self.slots())
            case Step.TRANSFER:
                assert not self.trial, "the other slot is the way back"
                self.other = NEW
            case Step.READ_BACK:
                return agent.SlotsRead(self.slots())
            case Step.MARK:
                assert self.other == NEW
                self.marked = True
            case Step.RESTART | Step.ROLL_BACK:
                self.restart()
                return agent.SlotsRead(self.slots())
            case Step.VERIFY:
                shown = None if self.bad_screen else self.version()
                return agent.Verified(Verification(self.version(), shown), self.slots())
            case Step.CONFIRM:
                self.trial = False
                return agent.SlotsRead(self.slots())
            case Step.REPORT:
                self.reports.append(update.outcome)
        return agent.Done()

    def run(self, kill_at: int | None = None, *, before: bool = True) -> Update:
        """One call of the agent, killed in its effect number `kill_at`, `before` or after that took place."""
        update, number = Update(), 0
        while update.step is not Step.DONE:
            if update.action_id:
                self.saved = update
            if number == kill_at and before:
                raise Killed
            event = self.perform(update)
            if number == kill_at:
                raise Killed
            update, number = advance(update, event, Rules()), number + 1
            assert number < 30, "it goes round in circles"
        self.saved = None
        return update


kills = st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans()), max_size=6)


@given(kills, st.booleans(), st.booleans())
def test_killed_anywhere_and_run_again(cuts, bad_image, bad_screen):
    """However often the agent is killed and the terminal restarted, the same command again ends it.

    A good image ends confirmed and reported as updated; a bad one never stays, and is reported as failed. The
    server never hears of success before the new version was read.
    """
    bench = Bench(bad_image, bad_screen)
    for kill_at, before, restarted in cuts:
        try:
            bench.run(kill_at, before=before)
        except Killed:
            if restarted:
                bench.restart()
    if bench.saved is not None or not bench.reports:
        bench.run()
    good = not (bad_image or bad_screen)
    assert bench.reports[-1] is (Outcome.UPDATED if good else Outcome.FAILED)
    assert set(bench.reports) == {bench.reports[-1]}
    assert (bench.running, bench.trial) == (NEW if good else OLD, False)
