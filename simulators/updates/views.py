"""What the update server answers: DDI's JSON from a store's values. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from simulators.updates.store import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulators.updates.store import Action, Release


def base(root: str, sleep_s: int, actions: Sequence[Action], *, ask_attributes: bool) -> dict[str, Any]:
    """The controller's resource. As in hawkBit the oldest open action comes first; a cancel hides its deployment."""
    links: dict[str, Any] = {}
    action = next((action for action in actions if action.active), None)
    if action is not None and action.status is Status.CANCELING:
        links["cancelAction"] = {"href": f"{root}/cancelAction/{action.id}"}
    elif action is not None:
        # hawkBit's `c` changes with the action's content, so that a cache between never answers with an old one.
        links["deploymentBase"] = {"href": f"{root}/deploymentBase/{action.id}?c={len(action.reports)}"}
    if ask_attributes:
        links["configData"] = {"href": f"{root}/configData"}
    minutes, seconds = divmod(sleep_s, 60)
    hours, minutes = divmod(minutes, 60)
    return {"config": {"polling": {"sleep": f"{hours:02}:{minutes:02}:{seconds:02}"}}, "_links": links}


def deployment(root: str, action: Action, release: Release) -> dict[str, Any]:
    handling = "forced" if action.forced else "attempt"
    href = f"{root}/softwaremodules/{release.module_id}/artifacts/{release.name}"
    # hawkBit names plain HTTP so; a device that knows only `download` would be led to https otherwise.
    relation = "download" if root.startswith("https:") else "download-http"
    artifact = {
        "filename": release.name,
        "hashes": {"sha1": release.sha1, "md5": release.md5, "sha256": release.sha256},
        "size": release.size,
        "_links": {relation: {"href": href}},
    }
    chunk = {
        "part": "firmware",
        "name": release.model,
        "version": str(release.payment_version),
        "artifacts": [artifact],
    }
    return {
        "id": str(action.id),
        "deployment": {"download": handling, "update": handling, "chunks": [chunk]},
    }


def cancel(action: Action) -> dict[str, Any]:
    return {"id": str(action.id), "cancelAction": {"stopId": str(action.id)}}


def operator(action: Action) -> dict[str, Any]:
    """An action with its whole history, for /sim/actions."""
    return asdict(action)


def release(release: Release) -> dict[str, Any]:
    """What is published, for /sim/releases."""
    return {key: value for key, value in asdict(release).items() if key != "path"}
