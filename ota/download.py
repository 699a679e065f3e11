"""Fetch one signed artifact into a folder, so that a cut, a kill or a full disk costs only what was under way.

Bytes go to `<name>.part`; beside it `<name>.part.json` says which signed bytes they begin and which
ETag the server gave them. The signed length and hash decide, never the server: not one byte more
than the length is written, and only the signed hash turns the part into the file. Attempts are
counted anew only when `WORTH_BYTES` more than ever before are here, so that no server, however it
cuts and restarts, can keep this going for ever.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.durable import DiskError, save_json, sync_folder
from devices.errors import Refused, RemoteProtocolError, Unreachable, UtbenchError
from ota.http import CHUNK_BYTES, Transient
from ota.trust import in_turn, safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import requests

    from ota.http import Http
    from ota.trust import TufTarget

WORTH_BYTES = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")


class _StartOver(Exception):  # noqa: N818 - a step of the loop below
    """What the part holds cannot be continued."""


@dataclass(frozen=True, slots=True)
class _Files:
    whole: Path
    part: Path
    note: Path


def download(
    target: TufTarget,
    urls: Sequence[str],
    folder: Path,
    http: Http,
    on_progress: Callable[[int, int], None] = lambda _done, _size: None,
) -> Path:
    """The path of the verified file; `on_progress(bytes so far, size)` is called as bytes arrive.

    The URLs are tried in order. Raises `Refused` where the bytes are not those that were signed,
    `Unreachable` after bounded attempts, `RemoteProtocolError` for answers such as 404, `DiskError`.
    The part stays for the next run, unless its bytes are wrong.
    """
    if not safe_name(target.name):
        raise Refused(f"{target.name!r} is no name for a file.", "Nothing was written; tell the publisher.")
    files = _Files(*(folder / f"{target.name}{end}" for end in ("", ".part", ".part.json")))
    with _disk(folder), in_turn(folder / f".{target.name}.lock", f"The download of {target.name}", http.sleep):
        folder.mkdir(parents=True, exist_ok=True)
        if _holds(files.whole, target):
            on_progress(target.size, target.size)
            return files.whole
        _from_any(urls, _Fetch(target, files, http, on_progress))
    return files.whole


def _from_any(urls: Sequence[str], fetch: _Fetch) -> None:
    problem: UtbenchError = Unreachable("The server named no address to download from.", "Tell its operator.")
    for url in urls:
        try:
            return fetch.run(url)
        except DiskError:
            raise
        except UtbenchError as error:
            problem = error
    raise problem


class _Fetch:
    def __init__(self, target: TufTarget, files: _Files, http: Http, on_progress: Callable[[int, int], None]) -> None:
        self._target = target
        self._files = files
        self._http = http
        self._on_progress = on_progress
        self._done = 0

    def run(self, url: str) -> None:
        """Attempts on one URL, each going on where the one before stopped."""
        backoff, best = self._http.backoff(), 0
        while True:
            start = self._done = self._kept()
            best = max(best, start)
            try:
                if start < self._target.size:
                    self._attempt(url, start)
                self._finish(resumed=start > 0)
                return
            except _StartOver:
                self._discard()
                backoff.again(Transient("The download had to start over."))
            except Transient as cause:
                if self._done - best >= WORTH_BYTES:
                    backoff.reset()
                backoff.again(cause)

    def _kept(self) -> int:
        """Length of a part that begins these signed bytes; any other part is discarded."""
        if self._note().get("sha256") == self._target.sha256 and self._files.part.exists():
            size = self._files.part.stat().st_size
            if size <= self._target.size:
                return size
        self._discard()
        return 0

    def _attempt(self, url: str, start: int) -> None:
        _need_room(self._files.part.parent, self._target.size - start)
        with closing(self._http.open(url, headers=self._resume_headers(url, start))) as response:
            at = self._where(response, start)
            if at == 0:
                etag = response.headers.get("ETag", "")
                save_json(self._files.note, {"sha256": self._target.sha256, "url": url, "etag": etag})
            self._store(response, at)

    def _resume_headers(self, url: str, start: int) -> dict[str, str]:
        if start == 0:
            return {}
        note = self._note()
        etag = str(note.get("etag", ""))
        # A weak tag, or that of another URL, promises nothing; the signed hash finds out then.
        usable = note.get("url") == url and etag.startswith('"')
        return {"Range": f"bytes={start}-", **({"If-Range": etag} if usable else {})}

    def _where(self, response: requests.Response, start: int) -> int:
        """The offset at which this answer's bytes belong; raises where they belong nowhere."""
        status, size = response.status_code, self._target.size
        if status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != start or start == 0 or match[3] not in {"*", str(size)}:
                raise _StartOver
            return start
        if status == 416 and start > 0:
            raise _StartOver
        if status != 200:
            raise RemoteProtocolError(
                f"The server does not hand out {self._target.name} (HTTP {status}).",
                "Ask its operator; nothing was installed.",
            )
        told = response.headers.get("Content-Length", "")
        if told.isdigit() and int(told) != size:
            self._discard()
            raise Refused(
                f"The server's {self._target.name} has {int(told):,} bytes; the publisher signed {size:,}.",
                "Nothing was installed; ask the operator of the server to hand out the signed file.",
            )
        return 0

    def _store(self, response: requests.Response, at: int) -> None:
        size = self._target.size
        with self._files.part.open("r+b" if at else "wb") as part:
            part.seek(at)
            self._done = at
            try:
                for chunk in self._http.chunks(response):
                    room = size - self._done
                    part.write(chunk[:room])
                    self._done += min(len(chunk), room)
                    self._on_progress(self._done, size)
                    if len(chunk) > room:
                        raise self._wrong(f"The server sends more than the signed {size:,} bytes")
            finally:
                part.flush()
                os.fsync(part.fileno())
        if self._done < size:
            raise Transient(f"The download of {self._target.name} stopped at {self._done:,} of {size:,} bytes.")

    def _finish(self, *, resumed: bool) -> None:
        if not _holds(self._files.part, self._target):
            if resumed:  # the first part may be stale or damaged; a fresh download tells
                raise _StartOver
            raise self._wrong("The bytes are not those that the publisher signed")
        self._files.part.replace(self._files.whole)
        sync_folder(self._files.whole.parent)
        self._files.note.unlink(missing_ok=True)

    def _wrong(self, what: str) -> Refused:
        self._discard()
        return Refused(
            f"{what} as {self._target.name}.",
            "Nothing was installed and the file was thrown away; tell the operator of the server.",
        )

    def _note(self) -> dict[str, object]:
        try:
            note = json.loads(self._files.note.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def _discard(self) -> None:
        self._files.part.unlink(missing_ok=True)
        self._files.note.unlink(missing_ok=True)


def _holds(path: Path, target: TufTarget) -> bool:
    """Has the file the signed length and hash? Read in pieces."""
    try:
        if path.stat().st_size != target.size:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == target.sha256


def _need_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{folder} cannot take the download: {error.strerror or type(error).__name__}.",
            "Free some room or check the rights of the folder, then run the same command again; it goes on from there.",
        ) from error
