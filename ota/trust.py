"""Whom this PC believes: TUF roots that a person pinned, device tokens, and the test that two sources agree.

HOME/agent/trust/<name>/{root.json,server.json} and HOME/agent/tokens.toml. There is no trust on first
use: a server that nobody pinned is refused. What a server wants installed (DDI) counts only where it
equals what the publisher signed (TUF): `fits`.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]  # tuf re-exports Root, but not by mypy's rule
from tuf.api.serialization import DeserializationError

from devices.clock import monotonic_s
from devices.durable import DiskError, save_bytes, save_json
from devices.errors import PortBusy, Refused, UsageError
from devices.lock import FileLock
from ota.http import is_http_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ota.ddi import Artifact

SCHEMA = 1
DEFAULT_TENANT = "DEFAULT"
TURN_WAIT_S = 600.0
_TURN_PAUSE_S = 0.1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,256}")


@dataclass(frozen=True, slots=True)
class TufTarget:
    """What the publisher signed of one artifact: `size` in bytes, `sha256` in lower-case hex, whom it is for."""

    name: str
    size: int
    sha256: str
    model: str
    payment_version: int
    release_counter: int


@dataclass(frozen=True, slots=True)
class TrustedServer:
    """One pinned server. `url` is the DDI base without tenant; `root` the bytes that were pinned."""

    name: str
    url: str
    tenant: str
    metadata_url: str
    root: bytes

    @property
    def targets_url(self) -> str:
        """Beside the metadata, as TUF repositories are laid out."""
        return urljoin(self.metadata_url, "targets")


def fits(artifact: Artifact, target: TufTarget, model: str) -> None:
    """Pass only where server and publisher mean the same bytes, meant for `model`; else raise `Refused`."""
    told = (artifact.filename, artifact.size, artifact.sha256)
    if told != (target.name, target.size, target.sha256):
        raise Refused(
            f"The update server offers {artifact.filename} ({artifact.size:,} bytes, {artifact.sha256[:12]}…), but the "
            f"publisher signed {target.name} ({target.size:,} bytes, {target.sha256[:12]}…).",
            "Nothing was installed; ask the operator of the server to assign what the publisher released.",
        )
    if target.model != model:
        raise Refused(
            f"{target.name} is for a {target.model}; this terminal is a {model}.",
            "Ask the operator of the server to assign the release for this model.",
        )
    if target.release_counter != target.payment_version:
        raise Refused(
            f"{target.name} is signed as payment version {target.payment_version} but counts as release "
            f"{target.release_counter}.",
            "Nothing was installed; ask the publisher to release it again.",
        )


def safe_name(name: str) -> bool:
    """May this name, which came over the network, become a file's?"""
    return _FILE_NAME.fullmatch(name) is not None


class TrustStore:
    """The pinned servers of one home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "agent" / "trust"

    def pin(
        self,
        name: str,
        url: str,
        root_bytes: bytes,
        metadata_url: str | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> TrustedServer:
        """Believe `root_bytes` for `url` from now on; pinning a name again replaces it.

        Raises `UsageError` for a bad name or URL or a file that is no TUF root, `Refused` for a root
        that its own keys did not sign.
        """
        url = url.rstrip("/")
        metadata_url = (metadata_url or f"{url}/tuf/metadata").rstrip("/")
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"{name!r} is no name for a server.", "Use small letters, digits, dots and dashes.")
        if not (is_http_url(url) and is_http_url(metadata_url)) or _PRINTABLE.fullmatch(tenant) is None:
            raise UsageError(
                "The server's address is not an http or https URL without a password in it.",
                "Give it as https://updates.example.org.",
            )
        check_root(root_bytes)
        server = {"schema": SCHEMA, "name": name, "url": url, "tenant": tenant, "metadata_url": metadata_url}
        save_bytes(self._folder / name / "root.json", root_bytes)
        save_json(self._folder / name / "server.json", server)
        return TrustedServer(name, url, tenant, metadata_url, root_bytes)

    def all(self) -> tuple[TrustedServer, ...]:
        """Every pinned server, by name."""
        return tuple(self._read(path.parent) for path in sorted(self._folder.glob("*/server.json")))

    def get(self, name_or_url: str) -> TrustedServer:
        """The pinned server of that name or URL; `Refused` where nobody pinned it."""
        wanted = name_or_url.rstrip("/")
        named = _NAME.fullmatch(wanted) is not None
        if named and (self._folder / wanted / "server.json").exists():
            return self._read(self._folder / wanted)
        for server in self.all():
            if server.url == wanted:
                return server
        raise Refused(
            f"The update server {wanted} is not trusted by this PC.",
            _pin_hint(wanted if named else "NAME", "URL" if named else wanted),
        )

    def only(self) -> TrustedServer:
        """The one pinned server; `Refused` where there is none, `UsageError` where one must be named."""
        servers = self.all()
        if not servers:
            raise Refused("This PC trusts no update server yet.", _pin_hint("NAME", "URL"))
        if len(servers) > 1:
            names = ", ".join(server.name for server in servers)
            raise UsageError("This PC trusts more than one update server.", f"Name one of them: {names}.")
        return servers[0]

    def _read(self, folder: Path) -> TrustedServer:
        try:
            server = json.loads((folder / "server.json").read_text("utf-8"))
            root = (folder / "root.json").read_bytes()
            if server["schema"] > SCHEMA:
                raise Refused(
                    f"What is pinned for {folder.name} was written by a newer utbench.", "Update utbench on this PC."
                )
            texts = {key: str(server[key]) for key in ("name", "url", "tenant", "metadata_url")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(
                f"What is pinned for the update server {folder.name} cannot be read.",
                f"Pin it again. {_pin_hint(folder.name, 'URL')}",
            ) from error
        return TrustedServer(root=root, **texts)


class TokenStore:
    """The DDI tokens of this home's terminals, in one file that only its owner may read."""

    def __init__(self, home: Path) -> None:
        self._path = home / "agent" / "tokens.toml"

    def enrol(self, controller_id: str, token: str) -> None:
        """Keep `token` for `<model>-<serial>`; `UsageError` where it could not be a token."""
        token = token.strip()
        for text in (controller_id, token):
            if _PRINTABLE.fullmatch(text) is None:
                raise UsageError(
                    "The controller id or the token holds blanks or letters outside ASCII, or is empty.",
                    "The token file holds the token alone, as the update server shows it.",
                )
        with in_turn(self._path.with_suffix(".lock"), "The file of device tokens"):
            tokens = {**self._tokens(), controller_id: token}
            # A JSON string of printable ASCII is a TOML basic string too.
            lines = [f"{json.dumps(key)} = {json.dumps(tokens[key])}\n" for key in sorted(tokens)]
            save_bytes(self._path, "".join(["[tokens]\n", *lines]).encode(), secret=True)

    def token(self, controller_id: str) -> str:
        """The token of a terminal; `Refused` where none is kept."""
        token = self._tokens().get(controller_id)
        if token is None:
            raise Refused(
                f"No update token is kept for {controller_id}.",
                "Enrol it: utbench ota enrol --port PORT --token-file FILE",
            )
        return token

    def _tokens(self) -> dict[str, str]:
        try:
            tokens = tomllib.loads(self._path.read_text("utf-8"))["tokens"]
            return {str(key): str(value) for key, value in tokens.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, AttributeError):
            # The cause is left out on purpose: a parser's message may quote a token.
            raise DiskError(
                f"{self._path} cannot be read.", "Check its rights and its TOML, or move it away and enrol again."
            ) from None


def check_root(data: bytes) -> None:
    """Is this a TUF root, signed by as many of its own keys as it asks for? `UsageError` or `Refused` if not."""
    try:
        root = Metadata[Root].from_bytes(data)
    except DeserializationError as error:
        raise UsageError("The file is no TUF metadata.", "Give the root.json that the publisher hands out.") from error
    if not isinstance(root.signed, Root):
        raise UsageError("The file is TUF metadata, but no root.", "Give the root.json that the publisher hands out.")
    try:
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except (UnsignedMetadataError, RepositoryError, ValueError) as error:
        raise Refused(
            "The root is not signed by enough of its own keys.",
            "Do not use this file; get the root from its publisher by a way that you trust.",
        ) from error


@contextlib.contextmanager
def in_turn(path: Path, what: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the lock `path`, waiting for other holders up to `TURN_WAIT_S`; then `PortBusy` names the holder."""
    deadline = monotonic_s() + TURN_WAIT_S
    while True:
        try:
            lock = FileLock(path, what, "Wait until the other utbench is done, then run the same command again.")
            break
        except PortBusy:
            if monotonic_s() >= deadline:
                raise
            sleep(_TURN_PAUSE_S)
    with lock:
        yield


def _pin_hint(name: str, url: str) -> str:
    return f"If you have its root from the publisher, pin it: utbench ota trust {name} {url} --root FILE"
