"""What the update server knows: releases, actions and what devices told, as files that survive a kill.

    tuf/           the publisher's repository (`ota/tuf_repository.py`)
    keys/          its private keys
    actions/N.json     one assignment of a release to a device, with every report about it
    devices/<id>.json  what a device told about itself

One process writes; each file is replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import tomllib
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from devices.durable import save_json
from devices.errors import Refused, UsageError
from ota import build, image
from ota.tuf_repository import Custom, TufRepository

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from devices.clock import Clock

SCHEMA = 1
MAX_REPORTS = 1000  # hawkBit's default quota of status entries per action
MAX_ATTRIBUTES = 100
_CONTROLLER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


class Status(StrEnum):
    RUNNING = "running"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FINISHED = "finished"
    FAILED = "failed"


ACTIVE = frozenset({Status.RUNNING, Status.CANCELING})


class NotThere(UsageError):  # noqa: N818 - reads as what it says
    """No release, action or device of that name."""

    code = "not-there"


class ActionOver(Refused):
    """The action has ended: no report and no cancel is taken any more."""

    code = "action-over"


@dataclass(frozen=True, slots=True)
class Report:
    """One feedback of a device, or one deed of the operator (`execution` is then empty); `at` is business time."""

    at: str
    execution: str = ""
    finished: str = "none"
    cnt: int | None = None
    of: int | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    id: int
    controller_id: str
    artifact: str
    forced: bool
    status: Status = Status.RUNNING
    reports: tuple[Report, ...] = ()

    @property
    def active(self) -> bool:
        return self.status in ACTIVE


@dataclass(frozen=True, slots=True)
class Release:
    """One published artifact; hashes in lower-case hex, `module_id` names it in DDI's links."""

    name: str
    size: int
    sha256: str
    sha1: str
    md5: str
    model: str
    payment_version: int
    path: Path = field(compare=False)

    @property
    def module_id(self) -> int:
        return int(self.sha256[:7], 16)


class UpdateStore:
    """Every change is on disk before its method returns. `clock` is business time, for the reports' times."""

    def __init__(self, folder: Path, clock: Clock, tuf_clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._releases: dict[str, Release] = {}
        self._actions = {action.id: action for action in map(_read_action, (folder / "actions").glob("[0-9]*.json"))}
        self.repository = TufRepository(folder / "tuf", folder / "keys", tuf_clock)
        if self.repository.exists:
            self.repository.refresh()
        else:
            self.repository = TufRepository.create(folder / "tuf", folder / "keys", tuf_clock)

    def keep_fresh(self) -> None:
        """Sign anew what is about to expire."""
        with self._lock:
            self.repository.keep_fresh()

    def publish(self, data: bytes, key: Ed25519PublicKey | None = None, *, replace: bool = False) -> str:
        """Sign and offer an image; its name is `<model>-<payment version>.bin`, as its own `release.toml` says.

        With `key` the image's signature is verified first. Raises `ImageError` or `UsageError` for what is no
        release, `Refused` where that version is published with other bytes and `replace` is not given.
        """
        parsed = image.parse(data)
        if key is not None:
            image.verify(parsed, key)
        model, version = _release_of(build.unpack(parsed.payload))
        name = f"{model}-{version}.bin"
        if parsed.payment_version != version:
            raise UsageError(
                f"The image's version is {parsed.version}, but its release.toml says {version}.",
                "Build the image again.",
            )
        custom = Custom(model=model, payment_version=version, release_counter=version)
        with self._lock:
            self.repository.publish(name, data[: parsed.size], custom, replace=replace)
        return name

    def release(self, name: str) -> Release:
        """A published artifact; `NotThere` where there is none of that name."""
        try:
            path = self.repository.path(name)
        except UsageError as error:
            raise NotThere(error.message, error.hint) from error
        sha256 = path.name.split(".", 1)[0]
        with self._lock:
            if sha256 not in self._releases:
                data, custom = path.read_bytes(), self.repository.released[name].custom
                self._releases[sha256] = Release(
                    name=name,
                    size=len(data),
                    sha256=sha256,
                    sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
                    md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
                    model=custom["model"],
                    payment_version=custom["payment_version"],
                    path=path,
                )
            return self._releases[sha256]

    def releases(self) -> tuple[Release, ...]:
        return tuple(self.release(name) for name in sorted(self.repository.released))

    def assign(self, controller_id: str, artifact: str, *, forced: bool = True) -> int:
        """The id of the action. What was assigned before is cancelled first; the same again is the same action."""
        self.release(artifact)
        if _CONTROLLER_ID.fullmatch(controller_id) is None:
            raise UsageError(f"{controller_id!r} is no controller id.", "It is <model>-<serial number>.")
        with self._lock:
            for action in self.actions(controller_id):
                if action.status is Status.RUNNING and (action.artifact, action.forced) == (artifact, forced):
                    return action.id
                if action.status is Status.RUNNING:
                    self.cancel(action.id)
            number = max(self._actions, default=0) + 1
            self._save(Action(number, controller_id, artifact, forced, reports=(self._deed("assigned"),)))
            return number

    def actions(self, controller_id: str | None = None) -> tuple[Action, ...]:
        """All actions, or those of one device, oldest first."""
        with self._lock:
            found = [self._actions[number] for number in sorted(self._actions)]
        return tuple(action for action in found if controller_id in {None, action.controller_id})

    def action(self, number: int) -> Action:
        """`NotThere` where there is no such action."""
        action = self._actions.get(number)
        if action is None:
            raise NotThere(f"There is no action {number}.", "GET /sim/actions lists them.")
        return action

    def cancel(self, number: int) -> Action:
        """Ask the device to stop; it may refuse. `Refused` where the action is over."""
        with self._lock:
            action = self._open(number)
            if action.status is Status.CANCELING:
                return action
            return self._save(
                replace(action, status=Status.CANCELING, reports=(*action.reports, self._deed("cancel asked")))
            )

    def report(self, number: int, report: Report) -> Action:
        """A device's word on a deployment: `closed` ends it. `Refused` where the action is over or full of reports."""
        with self._lock:
            action = self._open(number)
            status = action.status
            if report.execution == "closed":
                status = Status.FAILED if report.finished == "failure" else Status.FINISHED
            return self._add(action, report, status)

    def report_cancel(self, number: int, report: Report) -> Action:
        """A device's word on a cancel: `closed` accepts it, `rejected` lets the deployment go on."""
        with self._lock:
            action = self._open(number)
            status = action.status
            if status is Status.CANCELING and report.execution in {"closed", "canceled"}:
                status = Status.CANCELED
            elif status is Status.CANCELING and report.execution == "rejected":
                status = Status.RUNNING
            return self._add(action, report, status)

    def attributes(self, controller_id: str) -> dict[str, str]:
        """What a device told about itself; empty where it has not yet."""
        path = self._device(controller_id)
        return dict(json.loads(path.read_text("utf-8"))["attributes"]) if path.exists() else {}

    def tell(self, controller_id: str, mode: str, data: dict[str, str]) -> None:
        """DDI's configData: merge, replace or remove attributes."""
        with self._lock:
            old = self.attributes(controller_id)
            match mode:
                case "replace":
                    new = data
                case "remove":
                    new = {key: value for key, value in old.items() if key not in data}
                case _:
                    new = {**old, **data}
            if len(new) > MAX_ATTRIBUTES:
                raise Refused(f"More than {MAX_ATTRIBUTES} attributes.", "Remove some.")
            save_json(self._device(controller_id), {"schema": SCHEMA, "attributes": new})

    def now(self) -> str:
        return self._clock.now().isoformat(timespec="milliseconds")

    def _deed(self, what: str) -> Report:
        return Report(self.now(), details=(what,))

    def _open(self, number: int) -> Action:
        action = self.action(number)
        if not action.active:
            raise ActionOver(f"Action {number} is over ({action.status}).", "Assign the release again if needed.")
        return action

    def _add(self, action: Action, report: Report, status: Status) -> Action:
        if len(action.reports) >= MAX_REPORTS and status is action.status:
            raise Refused(f"Action {action.id} has {MAX_REPORTS} reports.", "Only its end is taken any more.")
        return self._save(replace(action, status=status, reports=(*action.reports, report)))

    def _save(self, action: Action) -> Action:
        save_json(self._folder / "actions" / f"{action.id}.json", {"schema": SCHEMA, **asdict(action)})
        self._actions[action.id] = action
        return action

    def _device(self, controller_id: str) -> Path:
        return self._folder / "devices" / f"{controller_id}.json"


def _read_action(path: Path) -> Action:
    value = json.loads(path.read_text("utf-8"))
    if value.pop("schema") > SCHEMA:
        raise Refused("The update server's folder was written by a newer utbench.", "Update utbench.")
    reports = tuple(Report(**{**told, "details": tuple(told["details"])}) for told in value.pop("reports"))
    return Action(**{**value, "status": Status(value["status"]), "reports": reports})


def _release_of(release_toml: bytes) -> tuple[str, int]:
    try:
        release: dict[str, Any] = tomllib.loads(release_toml.decode("utf-8"))
    except ValueError as error:
        raise UsageError("The image's release.toml is no TOML.", "Build the image again.") from error
    model, version = release.get("model"), release.get("payment_version")
    known = isinstance(model, str) and _MODEL.fullmatch(model) is not None
    if not known or not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UsageError("The image's release.toml lacks its model or payment version.", "Build the image again.")
    return str(model), version
