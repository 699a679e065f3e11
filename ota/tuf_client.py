"""What the publisher signed, by The Update Framework: python-tuf's updater over our HTTP, errors as sentences.

The root comes from `TrustStore`, never from the network. Roots that follow it, and what has been seen
of the other roles, are kept in HOME/agent/cache/<server>/metadata, so that nothing older is taken again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeGuard

from tuf.api import exceptions as tuf
from tuf.ngclient import Updater  # type: ignore[attr-defined]  # re-exported, but not by mypy's rule
from tuf.ngclient.fetcher import FetcherInterface

from devices.durable import DiskError
from devices.errors import Refused, RemoteProtocolError, Unreachable, UtbenchError
from ota.http import Http, Transient
from ota.trust import TufTarget, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ota.trust import TrustedServer


class Targets:
    """The signed targets of one pinned server. Each question asks the server anew."""

    def __init__(self, server: TrustedServer, home: Path, http: Http | None = None) -> None:
        self._server = server
        self._cache = home / "agent" / "cache" / server.name
        self._http = http or Http()

    def target(self, name: str) -> TufTarget:
        """What is signed under `name`. Raises `Refused` where it is not signed, or the metadata cannot be
        believed (expired, older than seen before, wrong keys, contradictory); `Unreachable`; `DiskError`.
        """
        with self.updater() as updater:
            info = updater.get_targetinfo(name)
        if info is None:
            raise Refused(
                f"The publisher has not signed any {name}.",
                "Nothing was installed; ask the publisher to release it, or the operator to assign what is released.",
            )
        return _target(name, info.length, info.hashes, info.custom)

    @contextlib.contextmanager
    def updater(self) -> Iterator[Updater]:
        """python-tuf's own updater, refreshed, one process at a time; its errors leave as ours."""
        metadata = self._cache / "metadata"
        try:
            metadata.mkdir(parents=True, exist_ok=True)
            with in_turn(self._cache / "metadata.lock", f"The metadata of {self._server.name}"):
                updater = Updater(
                    str(metadata),
                    f"{self._server.metadata_url}/",
                    target_base_url=f"{self._server.targets_url}/",
                    fetcher=Fetcher(self._http),
                    bootstrap=self._server.root,
                )
                updater.refresh()
                yield updater
        except (tuf.RepositoryError, tuf.DownloadError) as error:
            raise translated(error, self._server) from error
        except OSError as error:
            raise DiskError(
                f"{metadata} cannot be used: {error.strerror or error}.", "Free some room or check the folder's rights."
            ) from error


class Fetcher(FetcherInterface):
    """How python-tuf gets its files: with our time-outs and retries, and `DownloadHTTPError` for every 4xx."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def _fetch(self, url: str) -> Iterator[bytes]:
        backoff = self._http.backoff()
        while True:
            try:
                response = self._http.open(url)
                break
            except Transient as cause:
                try:
                    backoff.again(cause)
                except Unreachable as error:
                    raise tuf.DownloadError(error.message) from error
        with closing(response):
            if response.status_code != 200:
                raise tuf.DownloadHTTPError(f"HTTP status {response.status_code}", response.status_code)
            try:
                yield from self._http.chunks(response)
            except Transient as cause:
                raise tuf.SlowRetrievalError(cause.why) from cause


def translated(error: tuf.RepositoryError | tuf.DownloadError, server: TrustedServer) -> UtbenchError:
    """What python-tuf found, as a sentence for the person at the PC."""
    if isinstance(error, tuf.DownloadHTTPError):
        return RemoteProtocolError(
            f"{server.name} has no usable TUF metadata at {server.metadata_url} (HTTP {error.status_code}).",
            "Check the address, or pin the server again with the right one.",
        )
    for kind, sentence in _REFUSALS.items():
        if isinstance(error, kind):
            hint = _clock_hint() if kind is tuf.ExpiredMetadataError else _TELL
            return Refused(sentence.format(name=server.name), hint)
    return Unreachable(
        f"The metadata of {server.name} could not be fetched from {server.metadata_url}.",
        "Check the network and the server, then run the same command again.",
    )


_TELL = "Nothing was installed; tell the publisher, and do not pin another root to get around it."
_REFUSALS: dict[type[Exception], str] = {
    tuf.ExpiredMetadataError: (
        "The signed metadata of {name} has expired: its publisher stopped signing, or somebody holds newer metadata "
        "back."
    ),
    tuf.BadVersionNumberError: (
        "{name} offers metadata older than this PC has already seen, or than it announces: a rollback."
    ),
    tuf.UnsignedMetadataError: "The metadata of {name} is not signed by the keys that this PC trusts.",
    tuf.LengthOrHashMismatchError: "The files of {name} do not belong together: a length or a hash differs.",
    tuf.DownloadLengthMismatchError: "{name} sends more metadata than was announced.",
    tuf.RepositoryError: "The metadata of {name} is damaged or contradicts itself.",
}


def _clock_hint() -> str:
    now = dt.datetime.now().astimezone()
    return (
        f"Nothing was installed. This PC's clock says {now:%Y-%m-%d %H:%M}; if that is wrong, set it and try again. "
        "Otherwise tell the publisher."
    )


def _target(name: str, size: int, hashes: dict[str, str], custom: Any) -> TufTarget:
    said = custom if isinstance(custom, dict) else {}
    model, version, counter = said.get("model"), said.get("payment_version"), said.get("release_counter")
    sha256 = hashes.get("sha256", "")
    if not (isinstance(model, str) and _is_count(version) and _is_count(counter) and sha256):
        raise Refused(
            f"{name} is signed, but not as a release for a terminal: model, payment version or SHA-256 is missing.",
            "Nothing was installed; ask the publisher to release it again.",
        )
    return TufTarget(name, size, sha256.lower(), model, version, counter)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
