"""The loop around the agent's state machine: save, perform the effect, advance. One terminal, one thread."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devices.clock import monotonic_s
from devices.errors import NothingToDo, Refused, Unreachable, UtbenchError
from ota.agent import (
    Checked,
    Done,
    Downloaded,
    Event,
    Identified,
    Outcome,
    Polled,
    Resolved,
    SlotsRead,
    Step,
    Update,
    Verified,
    advance,
)
from ota.ddi import Artifact, DdiClient, Deployment, Execution, Finished, Handling
from ota.download import download
from ota.http import Patience
from ota.image import parse
from ota.state import SavedUpdates
from ota.target import SmpTarget
from ota.trust import TokenStore, fits
from ota.tuf_client import Targets
from ota.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.discovery import Candidate
    from devices.home import Home
    from ota.plan import Rules
    from ota.target import Target
    from ota.trust import TrustedServer, TufTarget

ON_THE_WAY = Patience(connect_s=1.0, read_s=2.0, attempts=1)
REPORT_EACH = 10  # percent: servers answer 429 to chattier ones


@dataclass(frozen=True, slots=True)
class Beat:
    """What one terminal is doing now. `done` of `total` bytes where bytes move; `waiting`: still in the same step."""

    port: str
    step: Step
    update: Update
    done: int = 0
    total: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended for one port; `error` is what stopped it, None when nothing did. `unsent`: a report still waits."""

    port: str
    update: Update
    seconds: float
    error: UtbenchError | None = None
    unsent: bool = False

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        match self.update.outcome:
            case Outcome.UPDATED | Outcome.PLANNED:
                return 0
            case Outcome.UP_TO_DATE | Outcome.NOTHING | Outcome.CANCELLED:
                return NothingToDo.exit_code
        return 1


def update_one(
    home: Home,
    candidate: Candidate,
    server: TrustedServer,
    rules: Rules,
    tell: Callable[[Beat], None],
    *,
    baud: int,
) -> Result:
    """Bring one terminal to what the server wants for it. Failures are values; interruptions pass through."""
    started_s = monotonic_s()
    runner = None
    try:
        target = SmpTarget(home, candidate, baud)
        try:
            runner = Runner(home, target, server, rules, tell)
            update = runner.run()
            return Result(target.port, update, monotonic_s() - started_s, unsent=runner.unsent)
        finally:
            target.close()
    except UtbenchError as error:
        update = runner.update if runner else Update()
        outcome = Outcome.REFUSED if isinstance(error, Refused) else Outcome.FAILED
        ended = replace(update, outcome=outcome, reason=error.message)
        return Result(candidate.port, ended, monotonic_s() - started_s, error)
    except Exception as error:  # noqa: BLE001 - a fault with one terminal must not hide how the others ended
        wrapped = UtbenchError(
            f"Something went wrong inside utbench ({type(error).__name__}: {error}).", "Please report this."
        )
        update = replace(runner.update if runner else Update(), outcome=Outcome.FAILED, reason=wrapped.message)
        return Result(candidate.port, update, monotonic_s() - started_s, wrapped)


class Runner:
    """Performs the effects of one update."""

    def __init__(
        self, home: Home, target: Target, server: TrustedServer, rules: Rules, tell: Callable[[Beat], None]
    ) -> None:
        self.update = Update(server=f"{server.name} {server.url}")
        self.unsent = False
        self._home = home
        self._target = target
        self._server = server
        self._rules = rules
        self._tell = tell
        self._saved = SavedUpdates(home)
        self._client: DdiClient | None = None
        self._quick: DdiClient | None = None
        self._deployment: Deployment | None = None
        self._signed: TufTarget | None = None
        self._image = b""
        self._reported = 0

    def run(self) -> Update:
        while self.update.step is not Step.DONE:
            if self._is_worth_saving():
                self._saved.save(self.update)
            self._beat()
            event = self._perform()
            self.update = advance(self.update, event, self._rules)
        if self.update.serial and not self._rules.dry_run and not self.unsent:
            self._saved.forget(self.update.serial)
        self._beat()
        return self.update

    def _is_worth_saving(self) -> bool:
        return bool(self.update.action_id) and not self._rules.dry_run

    def _beat(self, done: int = 0, total: int = 0) -> None:
        self._tell(Beat(self._target.port, self.update.step, self.update, done, total))

    def _check_in(self) -> None:
        """From inside a long wait: tell that it goes on, and hear whether it shall."""
        self._tell(Beat(self._target.port, self.update.step, self.update, waiting=True))

    def _perform(self) -> Event:
        target = self._target
        match self.update.step:
            case Step.IDENTIFY:
                identity = target.identity()
                return Identified(identity, target.status(), target.slots(), self._saved.load(identity.serial))
            case Step.PREFLIGHT:
                self._home.agent.mkdir(parents=True, exist_ok=True)
                return Checked(target.status(), shutil.disk_usage(self._home.agent).free)
            case Step.POLL:
                return self._poll()
            case Step.RESOLVE:
                return self._resolve()
            case Step.DOWNLOAD:
                return self._download()
            case Step.TRANSFER:
                return self._transfer()
            case Step.READ_BACK:
                return SlotsRead(target.slots())
            case Step.MARK:
                target.mark(bytes.fromhex(self.update.digest))
                return Done()
            case Step.RESTART | Step.ROLL_BACK | Step.GIVE_WAY:
                target.restart(self._check_in)
                return SlotsRead(target.slots())
            case Step.VERIFY:
                return Verified(verify(target, self._check_in), target.slots())
            case Step.CONFIRM:
                target.confirm()
                return SlotsRead(target.slots())
        self._report()
        return Done()

    def _ddi(self) -> DdiClient:
        if self._client is None:
            token = TokenStore(self._home.path).token(self.update.controller_id)
            self._client = DdiClient(self._server.url, self._server.tenant, self.update.controller_id, token)
        return self._client

    def _courier(self) -> DdiClient:
        """For news on the way: one quick attempt, so that a slow server never holds up a transfer."""
        if self._quick is None:
            token = TokenStore(self._home.path).token(self.update.controller_id)
            self._quick = DdiClient(
                self._server.url, self._server.tenant, self.update.controller_id, token, patience=ON_THE_WAY
            )
        return self._quick

    def _poll(self) -> Polled:
        client = self._ddi()
        poll = client.poll()
        if poll.config and not self._rules.dry_run:
            attributes = {"model": self.update.model, "payment_version": str(self.update.from_version)}
            client.config_data(poll.config, {**attributes, "serial": self.update.serial})
        cancelled = poll.cancel is not None
        if poll.cancel and not self._rules.dry_run:
            client.feedback(client.cancellation(poll.cancel), Execution.CLOSED, Finished.SUCCESS)
            poll = client.poll()  # what the server cancelled may stand before what it wants now
        if poll.deployment is None:
            return Polled(None, cancelled=cancelled)
        deployment = client.deployment(poll.deployment)
        if Handling.SKIP in (deployment.download, deployment.update):
            return Polled(None)
        self._deployment = deployment
        return Polled(deployment)

    def _resolve(self) -> Resolved:
        artifact = self._artifact()
        self._signed = Targets(self._server, self._home.path).target(artifact.filename)
        fits(artifact, self._signed, self.update.model)
        return Resolved(self._signed, self._target.slots())

    def _artifact(self) -> Artifact:
        """The one firmware file of the deployment."""
        artifacts = self._deployment.artifacts if self._deployment else ()
        if len(artifacts) != 1:
            raise Refused(
                f"The server's update has {len(artifacts)} files; a terminal takes one.",
                "Ask the operator of the server to assign a single release.",
            )
        return artifacts[0]

    def _download(self) -> Downloaded:
        assert self._signed is not None
        folder = self._home.agent / "cache" / self._server.name / "targets"
        path = download(self._signed, self._artifact().urls, folder, self._ddi().http, self._moved(0, 30))
        self._image = path.read_bytes()
        image = parse(self._image)
        if image.payment_version != self._signed.payment_version:
            raise Refused(
                f"{self._signed.name} is signed as {self._signed.payment_version}, but holds {image.payment_version}.",
                "Nothing was installed; ask the publisher to release it again.",
            )
        return Downloaded(image.digest.hex(), self._target.slots())

    def _transfer(self) -> Done:
        sha = hashlib.sha256(self._image).digest()
        moved = self._moved(30, 90)
        self._target.write(self._image, sha, lambda acked: moved(acked, len(self._image)))
        return Done()

    def _moved(self, first: int, last: int) -> Callable[[int, int], None]:
        """Progress of a step that covers `first` to `last` percent of the whole."""

        def moved(done: int, total: int) -> None:
            self._beat(done, total)
            percent = first + (last - first) * done // max(1, total)
            if percent >= self._reported + REPORT_EACH:
                self._reported = percent
                self._say(Execution.PROCEEDING, progress=(percent, 100))

        return moved

    def _say(self, execution: Execution, *, progress: tuple[int, int]) -> None:
        """Tell the server on the way; it is a courtesy, so a failure of it stops nothing."""
        if self._deployment is None or self._rules.dry_run:
            return
        try:
            self._courier().feedback(self._deployment, execution, progress=progress)
        except UtbenchError:
            self._reported = 100  # it will hear the end of it

    def _report(self) -> None:
        """Success only after the new version was read back; kept for the next run where nobody hears it."""
        update = self.update
        action = Deployment(update.action_id, update.action_url, Handling.FORCED, Handling.FORCED, ())
        finished = Finished.FAILURE if update.outcome is Outcome.FAILED else Finished.SUCCESS
        details = [update.reason, *update.overrides]
        try:
            self._ddi().feedback(action, Execution.CLOSED, finished, details=details)
        except Unreachable:
            self.unsent = True
        except NothingToDo:
            pass  # the server has closed the action already
        except UtbenchError as error:  # it will not take it next time either
            self.update = replace(
                update, reason=f"{update.reason}; the server did not take the report: {error.message}"
            )
