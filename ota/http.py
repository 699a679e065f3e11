"""HTTP as a careful client does it: time-outs, bounded bodies, bounded retries, a token for its own server only.

    Http.request   one small answer, read whole
    Http.open      one attempt, the body still to be read by `chunks`
    Backoff        how often and how long to wait between attempts

Lost connections, 5xx and 429 are `Transient` and tried again; every other status is for the caller to judge.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import random
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from devices.clock import monotonic_s
from devices.errors import RemoteProtocolError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

USER_AGENT = "utbench"
MAX_BODY_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
MAX_REDIRECTS = 5
_BUSY = 429
_DIRECT = {"http": "", "https": ""}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may take. `bytes_per_s` is the least that a body must bring within each `stall_s`."""

    connect_s: float = 5.0
    read_s: float = 30.0
    stall_s: float = 30.0
    bytes_per_s: int = 1024
    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_asked_s: float = 120.0


class Transient(Exception):  # noqa: N818 - a moment, not an error: nobody outside a retry loop sees it
    """Worth another attempt: `why` is a sentence, `asked_s` the pause that the server asked for."""

    def __init__(self, why: str, asked_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.asked_s = asked_s


class Answer(Protocol):
    """What is read of a `requests.Response`."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; `url` is where it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Backoff:
    """Pauses that grow, with jitter, and an end: `again` waits, or raises `Unreachable` once all attempts are spent."""

    def __init__(self, patience: Patience, sleep: Callable[[float], None]) -> None:
        self._patience = patience
        self._sleep = sleep
        self._failures = 0

    def reset(self) -> None:
        """Something was achieved: the next failure is the first again."""
        self._failures = 0

    def again(self, cause: Transient) -> None:
        self._failures += 1
        if self._failures >= self._patience.attempts:
            raise Unreachable(
                f"{cause.why} {self._failures} attempts were made.",
                "Check the network and the server, then run the same command again; it goes on where it stopped.",
            )
        self._sleep(self._pause_s(cause))

    def _pause_s(self, cause: Transient) -> float:
        if cause.asked_s is not None:
            return min(cause.asked_s, self._patience.longest_asked_s)
        grown = self._patience.first_pause_s * float(1 << (self._failures - 1))
        return min(grown, self._patience.longest_pause_s) * (0.5 + random.random() / 2)


class TargetToken(AuthBase):
    """DDI's per-device token, sent to the host of `base_url` only and never from https down to http."""

    def __init__(self, base_url: str, token: str) -> None:
        self._base = urlsplit(base_url)
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = urlsplit(request.url or "")
        if url.hostname == self._base.hostname and (url.scheme, self._base.scheme) != ("http", "https"):
            request.headers["Authorization"] = f"TargetToken {self._token}"
        return request


class Http:
    """One connection pool with one patience. `sleep` is injected so that tests do not wait."""

    def __init__(
        self,
        auth: AuthBase | None = None,
        *,
        session: requests.Session | None = None,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.patience = patience or Patience()
        self.sleep = sleep
        self._auth = auth or _no_auth
        self._session = session or requests.Session()
        self._session.max_redirects = MAX_REDIRECTS

    def backoff(self) -> Backoff:
        return Backoff(self.patience, self.sleep)

    def request(self, method: str, url: str, *, json: Any = None, accept: str = "application/json") -> Reply:
        """A whole answer of at most `MAX_BODY_BYTES`, after as many attempts as it takes and `Patience` allows.

        Raises `Unreachable`, or `RemoteProtocolError` for an answer that is no usable HTTP.
        """
        backoff = self.backoff()
        while True:
            try:
                with closing(self.open(url, method=method, headers={"Accept": accept}, json=json)) as response:
                    return Reply(response.status_code, response.headers, self._whole(response), response.url)
            except Transient as cause:
                backoff.again(cause)

    def open(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, json: Any = None
    ) -> requests.Response:
        """One attempt; raises `Transient` where another may help. The caller closes what it gets."""
        try:
            response = self._session.request(
                method,
                url,
                json=json,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})},
                auth=self._auth,
                proxies=_DIRECT if _is_loopback(url) else None,
                stream=True,
                timeout=(self.patience.connect_s, self.patience.read_s),
            )
        except requests.RequestException as error:
            raise _translated(error, url) from None
        cause = _transient(response, url)
        if cause is not None:
            response.close()
            raise cause
        return response

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it arrives, at most `CHUNK_BYTES` at a time; `Transient` where it breaks off or crawls."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RemoteProtocolError(
                f"{_host(response.url)} sent a compressed answer that nobody asked for.",
                "Switch off the compression of the server or of the proxy before it.",
            )
        least = int(self.patience.bytes_per_s * self.patience.stall_s)
        since, got = monotonic_s(), 0
        while True:
            try:
                chunk: bytes = response.raw.read1(CHUNK_BYTES)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Transient(f"The connection to {_host(response.url)} broke off.") from error
            if not chunk:
                return
            yield chunk
            got += len(chunk)
            if monotonic_s() - since >= self.patience.stall_s:
                if got < least:
                    raise Transient(f"{_host(response.url)} sends too slowly.")
                since, got = monotonic_s(), 0

    def _whole(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in self.chunks(response):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise RemoteProtocolError(
                    f"{_host(response.url)} answered with more than {MAX_BODY_BYTES:,} bytes.",
                    "Check that the URL is that of the update server.",
                )
        return bytes(body)


def retry_after_s(headers: Mapping[str, str], now: dt.datetime | None = None) -> float | None:
    """RFC 9110's Retry-After, in seconds or as a date; None where it is absent or odd, never negative."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return max(0.0, (at - (now or dt.datetime.now(dt.UTC))).total_seconds())


def is_http_url(url: object) -> bool:
    """An absolute http or https URL with a host and without a user's name or password in it."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _is_loopback(url: str) -> bool:
    """A server on this very PC, which no proxy of the environment can reach."""
    return urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}


def _transient(response: Answer, url: str) -> Transient | None:
    if response.status_code == _BUSY:
        return Transient(f"{_host(url)} asks to be called less often (429).", retry_after_s(response.headers))
    if response.status_code >= 500:
        why = f"{_host(url)} is in trouble ({response.status_code})."
        return Transient(why, retry_after_s(response.headers))
    return None


def _translated(error: requests.RequestException, url: str) -> Exception:
    # The library's own texts are left out: they repeat URLs and headers.
    if isinstance(error, requests.exceptions.SSLError):
        return Unreachable(
            f"The certificate of {_host(url)} does not hold.",
            "Check the server's certificate and the date of this PC.",
        )
    if isinstance(error, requests.Timeout):
        return Transient(f"{_host(url)} did not answer in time.")
    if isinstance(error, requests.ConnectionError):
        return Transient(f"{_host(url)} cannot be reached.")
    return RemoteProtocolError(
        f"{_host(url)} gave an address or an answer that cannot be used.",
        "Check that the URL is that of the update server.",
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "The server"


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from taking a password for the host from ~/.netrc."""
    return request
