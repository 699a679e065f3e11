"""A TUF publisher: releases as signed targets, in a folder that any web server can serve.

Consistent snapshots: `metadata/N.root.json`, `N.targets.json`, `N.snapshot.json`, `timestamp.json` and
`targets/<sha256>.<name>`. Whatever is written is written before what names it, the timestamp last,
so a reader sees the old state or the new one. Keys are Ed25519: three for the root, of which two
must sign, one for each other role, in files named by key id that only their owner may read.

TUF's expiry is real time: the clock given here is never the world's business clock.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # re-exported, as below
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import (  # type: ignore[attr-defined]  # tuf re-exports these, but not by mypy's rule
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from devices.durable import save_bytes
from devices.errors import Refused, UsageError
from ota.trust import safe_name

if TYPE_CHECKING:
    from pathlib import Path

    from devices.clock import Clock

ROLES = (Root.type, Targets.type, Snapshot.type, Timestamp.type)
LIFE = {
    Root.type: dt.timedelta(days=365),
    Targets.type: dt.timedelta(days=90),
    Snapshot.type: dt.timedelta(days=7),
    Timestamp.type: dt.timedelta(days=1),
}
ROOT_KEYS = 3
ROOT_THRESHOLD = 2
_VERSIONED = re.compile(r"(\d+)\.(root|targets|snapshot)\.json")

AnyMetadata: TypeAlias = "Metadata[Root] | Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp]"


class Custom(TypedDict):
    """What the signed metadata says of a release beside its bytes."""

    model: str
    payment_version: int
    release_counter: int


class RealClock:
    """The time of this PC, in UTC."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


class TufRepository:
    """The publisher's side of one repository. One writer at a time; readers need no lock."""

    def __init__(self, folder: Path, keys: Path, clock: Clock | None = None) -> None:
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self._keys = keys
        self._clock = clock or RealClock()

    @classmethod
    def create(cls, folder: Path, keys: Path, clock: Clock | None = None) -> TufRepository:
        """New keys and an empty repository; `UsageError` where one is already there."""
        repository = cls(folder, keys, clock)
        if repository.exists:
            raise UsageError(f"{folder} already holds a repository.", "Name an empty folder.")
        root = Root(consistent_snapshot=True, roles=None)
        for role in (Root.type,) * ROOT_KEYS + (Targets.type, Snapshot.type, Timestamp.type):
            root.add_key(repository._new_key().public_key, role)
        root.roles[Root.type].threshold = ROOT_THRESHOLD
        repository._write(Metadata(root), root)
        repository._write_below(root, Metadata(Targets()))
        return repository

    @property
    def exists(self) -> bool:
        return (self.metadata / "timestamp.json").exists()

    @property
    def root_bytes(self) -> bytes:
        """The newest root: what a person pins."""
        return self._newest(Root.type).read_bytes()

    @property
    def released(self) -> dict[str, TargetFile]:
        """Every signed target by name."""
        return dict(self._load_targets().signed.targets)

    def path(self, name: str) -> Path:
        """Where the bytes of a signed target are; `UsageError` where there is no such target."""
        target = self.released.get(name)
        if target is None:
            raise UsageError(f"No release is called {name}.", "Publish it first: `utbench sim updates --publish FILE`.")
        return self.targets / f"{target.hashes['sha256']}.{name}"

    def publish(self, name: str, data: bytes, custom: Custom, *, replace: bool = False) -> TargetFile:
        """Sign `data` as `name`. Publishing the same again changes nothing; other bytes under a known name are
        `Refused` unless `replace`, because terminals of one payment version must run the same release.
        """
        if not safe_name(name):
            raise UsageError(f"{name!r} is no name for a release.", "Use letters, digits, dots, dashes, at most 128.")
        digest = hashlib.sha256(data).hexdigest()
        new = TargetFile(len(data), {"sha256": digest}, name, unrecognized_fields={"custom": dict(custom)})
        targets = self._load_targets()
        old = targets.signed.targets.get(name)
        save_bytes(self.targets / f"{digest}.{name}", data)
        if old == new:
            if not self._complete():
                self._write_below(self._load_root().signed, None)
            return new
        if old is not None and not replace:
            raise Refused(
                f"{name} is already published with other bytes.",
                "Give the release a new payment version, or replace the published one on purpose.",
            )
        targets.signed.targets[name] = new
        self._write_below(self._load_root().signed, targets)
        return new

    def refresh(self) -> None:
        """Sign snapshot and timestamp anew, and root and targets where half of their life is over.

        Also completes what a crash left half done.
        """
        root = self._load_root()
        if self._half_over(root.signed):
            self._write(root, root.signed)
        targets = self._load_targets()
        fresh = not self._half_over(targets.signed) and _signed_for(root.signed, targets)
        self._write_below(root.signed, None if fresh else targets)

    def keep_fresh(self) -> None:
        """`refresh` if the timestamp has lived half of its life; cheap enough to ask before every answer."""
        if self._half_over(self._load_timestamp().signed):
            self.refresh()

    def rotate(self, role: str) -> None:
        """Replace one key of a role. Two of the root's keys always stay, so old clients and new ones find their two."""
        root = self._load_root()
        if role not in ROLES:
            raise UsageError(f"TUF has no role {role!r}.", f"Name one of: {', '.join(ROLES)}.")
        retired = root.signed.roles[role].keyids[0]
        root.signed.revoke_key(retired, role)
        root.signed.add_key(self._new_key().public_key, role)
        self._write(root, root.signed)
        self.refresh()
        (self._keys / f"{retired}.pem").unlink()

    def _write_below(self, root: Root, targets: Metadata[Targets] | None) -> None:
        """Targets (if given), then snapshot, then timestamp: each names the one before."""
        if targets is not None:
            self._write(targets, root)
        snapshot = Snapshot(meta={"targets.json": self._meta_file(Targets.type)})
        self._write(Metadata(snapshot), root)
        self._write(Metadata(Timestamp(snapshot_meta=self._meta_file(Snapshot.type))), root)

    def _complete(self) -> bool:
        """Does the timestamp lead to the newest targets? Not after a crash in the midst of publishing."""
        timestamp, snapshot = self._load_timestamp().signed, self._load_snapshot().signed
        newest = (self._version(Targets.type), self._version(Snapshot.type))
        return bool((snapshot.meta["targets.json"].version, timestamp.snapshot_meta.version) == newest)

    def _write(self, metadata: AnyMetadata, root: Root) -> None:
        """The next version, with a new expiry, signed by every key that `root` names for the role."""
        signed = metadata.signed
        signed.version = self._version(signed.type) + 1
        signed.expires = (self._clock.now().astimezone(dt.UTC) + LIFE[signed.type]).replace(microsecond=0)
        metadata.signatures.clear()
        for keyid in root.roles[signed.type].keyids:
            metadata.sign(self._signer(keyid), append=True)
        versioned = "" if signed.type == Timestamp.type else f"{signed.version}."
        save_bytes(self.metadata / f"{versioned}{signed.type}.json", metadata.to_bytes())

    def _half_over(self, signed: Root | Targets | Timestamp) -> bool:
        return bool(signed.expires - self._clock.now() < LIFE[signed.type] / 2)

    def _new_key(self) -> CryptoSigner:
        signer = CryptoSigner.generate_ed25519()
        save_bytes(self._keys / f"{signer.public_key.keyid}.pem", signer.private_bytes, secret=True)
        return signer

    def _signer(self, keyid: str) -> CryptoSigner:
        try:
            key = load_pem_private_key((self._keys / f"{keyid}.pem").read_bytes(), None)
        except (OSError, ValueError) as error:
            raise Refused(
                f"The publisher's key {keyid[:12]}… is missing or damaged.",
                "Put the folder of keys back from its copy; without it nothing can be signed.",
            ) from error
        return CryptoSigner(key)

    def _versions(self, role: str) -> dict[int, Path]:
        found = ((_VERSIONED.fullmatch(path.name), path) for path in self.metadata.glob("*.json"))
        return {int(match[1]): path for match, path in found if match is not None and match[2] == role}

    def _version(self, role: str) -> int:
        """Of the newest metadata of the role; 0 where there is none yet."""
        if role == Timestamp.type:
            return int(self._load_timestamp().signed.version) if self.exists else 0
        return max(self._versions(role), default=0)

    def _newest(self, role: str) -> Path:
        versions = self._versions(role)
        if not versions:
            raise UsageError(f"{self.metadata.parent} holds no repository.", "Start the update server once to make it.")
        return versions[max(versions)]

    def _meta_file(self, role: str) -> MetaFile:
        data = self._newest(role).read_bytes()
        return MetaFile(self._version(role), len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def _load_root(self) -> Metadata[Root]:
        return Metadata[Root].from_bytes(self._newest(Root.type).read_bytes())

    def _load_targets(self) -> Metadata[Targets]:
        return Metadata[Targets].from_bytes(self._newest(Targets.type).read_bytes())

    def _load_snapshot(self) -> Metadata[Snapshot]:
        return Metadata[Snapshot].from_bytes(self._newest(Snapshot.type).read_bytes())

    def _load_timestamp(self) -> Metadata[Timestamp]:
        return Metadata[Timestamp].from_bytes((self.metadata / "timestamp.json").read_bytes())


def _signed_for(root: Root, targets: Metadata[Targets]) -> bool:
    try:
        root.verify_delegate(Targets.type, targets.signed_bytes, targets.signatures)
    except UnsignedMetadataError:
        return False
    return True
