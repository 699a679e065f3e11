"""The DDI client: asks a hawkBit (or ours) what a terminal should get, and tells how it went.

Parsing is pure (`parse_poll`, `parse_deployment`, `feedback_body`); `DdiClient` is the HTTP around it. Links
are followed, never built, save `…/feedback`, which DDI defines as the action's own link with that
word appended. Source: hawkBit's DDI API. The server is not trusted: `ota/trust.py` decides.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from devices.errors import NothingToDo, Refused, RemoteProtocolError
from ota.http import Http, Patience, TargetToken, is_http_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import requests

    from ota.http import Reply

ACCEPT = "application/hal+json, application/json"
DEFAULT_SLEEP_S = 300
LONGEST_SLEEP_S = 86_400
MAX_ARTIFACTS = 64
MAX_DETAILS = 50
MAX_DETAIL_CHARS = 512
_SLEEP = re.compile(r"(\d{1,3}):([0-5]?\d):([0-5]?\d)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ACTION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ActionGone(NothingToDo):
    """The server has closed or forgotten the action: a report that it answers so needs no repeating."""

    code = "action-gone"


class Handling(StrEnum):
    """How the server wants the download, and the update, to be done."""

    SKIP = "skip"
    ATTEMPT = "attempt"
    FORCED = "forced"


class Execution(StrEnum):
    PROCEEDING = "proceeding"
    DOWNLOAD = "download"
    DOWNLOADED = "downloaded"
    SCHEDULED = "scheduled"
    RESUMED = "resumed"
    REJECTED = "rejected"
    CANCELED = "canceled"
    CLOSED = "closed"


class Finished(StrEnum):
    NONE = "none"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Poll:
    """What the server has for the terminal; URLs are absolute, None where there is nothing."""

    sleep_s: int
    deployment: str | None = None
    confirmation: str | None = None
    cancel: str | None = None
    config: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file as the server tells it: `size` in bytes, `sha256` lower-case hex, `urls` best first."""

    filename: str
    size: int
    sha256: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One action; `url` is where it was read, its feedback goes below it."""

    action_id: str
    url: str
    download: Handling
    update: Handling
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """The server's wish to stop `stop_id`; `url` is where the answer goes below."""

    action_id: str
    stop_id: str
    url: str


class DdiClient:
    """One terminal's conversation with its server. `http` carries the token; downloads use it too.

    Every call may raise `Refused` (401, 403), `Unreachable` (after bounded retries) or
    `RemoteProtocolError` (an answer that breaks DDI); calls about an action also `ActionGone`.
    """

    def __init__(
        self,
        base_url: str,
        tenant: str,
        controller_id: str,
        token: str,
        session: requests.Session | None = None,
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.http = Http(TargetToken(base_url, token), session=session, patience=patience, sleep=sleep)
        self._controller_id = controller_id
        self._url = f"{base_url.rstrip('/')}/{quote(tenant, safe='')}/controller/v1/{quote(controller_id, safe='')}"

    def poll(self) -> Poll:
        reply = self._call("GET", self._url)
        return parse_poll(_json(reply), reply.url)

    def deployment(self, url: str) -> Deployment:
        reply = self._call("GET", url, action=True)
        return parse_deployment(_json(reply), reply.url)

    def cancellation(self, url: str) -> Cancel:
        reply = self._call("GET", url, action=True)
        return parse_cancel(_json(reply), reply.url)

    def feedback(
        self,
        action: Deployment | Cancel,
        execution: Execution,
        finished: Finished = Finished.NONE,
        *,
        progress: tuple[int, int] | None = None,
        details: Sequence[str] = (),
    ) -> None:
        """Report on a deployment, or answer a cancel (`CLOSED` accepts it, `REJECTED` refuses it).

        `progress` is (count, of). Safe to repeat: a report that arrived twice is answered by `ActionGone` at worst.
        """
        body = feedback_body(action.action_id, execution, finished, progress, details)
        self._call("POST", feedback_url(action.url), action=True, body=body)

    def config_data(self, url: str, attributes: Mapping[str, str]) -> None:
        """Tell the server what the terminal is (model, serial number, payment version, …)."""
        self._call("PUT", url, body={"mode": "merge", "data": dict(attributes)})

    def _call(self, method: str, url: str, *, action: bool = False, body: Any = None) -> Reply:
        reply = self.http.request(method, url, json=body, accept=ACCEPT)
        if 200 <= reply.status < 300:
            return reply
        raise self._failure(reply.status, action)

    def _failure(self, status: int, action: bool) -> Exception:
        if status == 401:
            return Refused(
                f"The update server does not accept {self._controller_id} (401).",
                "Either the terminal is not registered there, or its token is another one (utbench ota enrol), or the "
                "server does not accept device tokens (hawkBit: switch on target token authentication).",
            )
        if status == 403:
            return Refused(
                f"The update server forbids this to {self._controller_id} (403).",
                "Ask its operator; a limit of reports per action may be used up.",
            )
        if action and status in {404, 410}:
            return ActionGone(
                "The update server has closed this action, or does not know it any more.", "Ask it again."
            )
        return RemoteProtocolError(
            f"The update server answered with HTTP {status}, which was not to be expected.",
            "Check that the URL and the tenant are those of the update server.",
        )


def parse_poll(value: Any, url: str) -> Poll:
    """The controller's base resource; `url` is its own, against which relative links are read."""
    links = _mapping(value, "answer").get("_links") or {}
    return Poll(
        sleep_s=_sleep_s(value),
        deployment=_link(links, "deploymentBase", url),
        confirmation=_link(links, "confirmationBase", url),
        cancel=_link(links, "cancelAction", url),
        config=_link(links, "configData", url),
    )


def parse_deployment(value: Any, url: str) -> Deployment:
    body = _mapping(value, "deployment")
    deployment = _mapping(body.get("deployment"), "deployment")
    artifacts: list[Artifact] = []
    for chunk in _list(deployment.get("chunks"), "chunks"):
        told = _list(_mapping(chunk, "chunk").get("artifacts"), "artifacts")
        artifacts += [_artifact(_mapping(item, "artifact"), url) for item in told[:MAX_ARTIFACTS]]
    return Deployment(
        action_id=_action_id(body.get("id")),
        url=url,
        download=_handling(deployment.get("download")),
        update=_handling(deployment.get("update")),
        artifacts=tuple(artifacts[:MAX_ARTIFACTS]),
    )


def parse_cancel(value: Any, url: str) -> Cancel:
    body = _mapping(value, "cancel")
    stop_id = _action_id(_mapping(body.get("cancelAction"), "cancel").get("stopId"))
    return Cancel(_action_id(body.get("id", stop_id)), stop_id, url)


def feedback_url(action_url: str) -> str:
    """`…/deploymentBase/8?c=1` → `…/deploymentBase/8/feedback`."""
    parts = urlsplit(action_url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/feedback", "", ""))


def feedback_body(
    action_id: str,
    execution: Execution,
    finished: Finished,
    progress: tuple[int, int] | None,
    details: Sequence[str],
) -> dict[str, Any]:
    """DDI's report; `id` was part of it once and is still read by older servers."""
    result: dict[str, Any] = {"finished": str(finished)}
    if progress is not None:
        result["progress"] = {"cnt": progress[0], "of": progress[1]}
    told = [text[:MAX_DETAIL_CHARS] for text in details[:MAX_DETAILS]]
    return {"id": action_id, "status": {"execution": str(execution), "result": result, "details": told}}


def _artifact(item: Mapping[str, Any], url: str) -> Artifact:
    name, size = item.get("filename"), item.get("size")
    sha256 = _mapping(item.get("hashes") or {}, "hashes").get("sha256")
    if not isinstance(name, str) or not name:
        raise _odd("an artifact without a file name")
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise _odd("an artifact without a size")
    if not isinstance(sha256, str) or _SHA256.fullmatch(sha256.lower()) is None:
        raise _odd("an artifact without a SHA-256")
    links = item.get("_links") or {}
    urls = [link for relation in ("download", "download-http") if (link := _link(links, relation, url)) is not None]
    if not urls:
        raise _odd("an artifact without a link to its bytes")
    return Artifact(name, size, sha256.lower(), tuple(urls))


def _link(links: Any, relation: str, base: str) -> str | None:
    link = _mapping(links, "links").get(relation)
    if link is None:
        return None
    href = _mapping(link, f"link {relation}").get("href")
    try:
        url = urljoin(base, href) if isinstance(href, str) and href else None
    except ValueError:
        url = None
    if not is_http_url(url):
        raise _odd(f"a link {relation} that leads nowhere")
    return url


def _sleep_s(value: Mapping[str, Any]) -> int:
    """The pause that the server asks for. It is a wish, so an odd one is replaced instead of failing the poll."""
    config = value.get("config")
    polling = config.get("polling") if isinstance(config, dict) else None
    text = polling.get("sleep") if isinstance(polling, dict) else None
    match = _SLEEP.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return DEFAULT_SLEEP_S
    hours, minutes, seconds = (int(part) for part in match.groups())
    return max(1, min(hours * 3600 + minutes * 60 + seconds, LONGEST_SLEEP_S))


def _handling(value: Any) -> Handling:
    try:
        return Handling(value) if value is not None else Handling.ATTEMPT
    except ValueError:
        raise _odd("a way of updating that DDI does not know") from None


def _action_id(value: Any) -> str:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if _ACTION_ID.fullmatch(text) is None:
        raise _odd("an action without an id")
    return text


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _odd(f"no {what}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _odd(f"no list of {what}")
    return value


def _json(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        raise _odd("no JSON") from None


def _odd(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"The update server's answer breaks DDI: {what}.",
        "Check that the URL and the tenant are those of the update server, or tell its operator.",
    )
