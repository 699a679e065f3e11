"""Images are made and signed by MCUboot's own imgtool; ours is only the deterministic payload around `release.toml`."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devices.errors import UsageError
from ota.image import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

RELEASE_FILE = "release.toml"


def pack(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar with names sorted and no times or owners: the same files give the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return out.getvalue()


def unpack(payload: bytes, name: str = RELEASE_FILE) -> bytes:
    """One file out of a payload; `UsageError` where the payload is no archive or lacks it."""
    try:
        with tarfile.open(fileobj=io.BytesIO(payload), mode="r:") as archive:
            member = archive.extractfile(name)
            if member is not None:
                return member.read()
    except (tarfile.TarError, KeyError):
        pass
    raise UsageError(f"The image holds no {name}.", "It was not built for a voucher terminal; name another file.")


def build(payload: bytes, *, version: str, key_pem: bytes, security_counter: int = 1) -> bytes:
    """Sign `payload` as an MCUboot image with an Ed25519 private key in PEM."""
    import imgtool.image
    import imgtool.keys
    import imgtool.version

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        source, target, key_file = (Path(folder) / name for name in ("payload.bin", "image.bin", "key.pem"))
        source.write_bytes(payload)
        key_file.write_bytes(key_pem)
        try:
            key = imgtool.keys.load(str(key_file))
        except Exception as error:
            raise UsageError("The signing key could not be read.", "Give an unencrypted Ed25519 key in PEM.") from error
        if not isinstance(key, imgtool.keys.Ed25519):
            raise UsageError("The signing key is not an Ed25519 private key.", "Terminals accept Ed25519 only.")
        image = imgtool.image.Image(
            version=imgtool.version.decode_version(version),
            header_size=HEADER_BYTES,
            pad_header=True,
            align=8,
            slot_size=0,
            security_counter=security_counter,
        )
        image.load(str(source))
        image.create(key, "hash", None, user_sha="256")
        image.save(str(target))
        return target.read_bytes()
