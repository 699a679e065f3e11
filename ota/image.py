"""A firmware image as MCUboot defines it: 32-byte header, payload, protected TLVs, TLVs.

Pure: bytes in, values out. Everything here is little-endian. Source: MCUboot's `docs/design.md`,
"Image format"; TLV numbers from its `image.h`. `imgtool` makes the images (`ota/build.py`);
this module is how the agent, the update server and the simulated bootloader read them.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from devices.errors import UtbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HEADER_BYTES = 32
MAGIC = 0x96F3B83D
_HEADER = struct.Struct("<IIHHIIBBHII")  # magic, load, header, protected TLVs, payload, flags, version, pad
_TLV_INFO = struct.Struct("<HH")
_TLV = struct.Struct("<HH")
TLV_INFO_MAGIC = 0x6907
TLV_PROTECTED_MAGIC = 0x6908
TLV_KEYHASH = 0x01
TLV_SHA256 = 0x10
TLV_ED25519 = 0x24
TLV_SECURITY_COUNTER = 0x50


class ImageError(UtbenchError):
    """The bytes are no image, a truncated one, or one whose hash or signature does not hold."""

    code = "bad-image"


@dataclass(frozen=True, slots=True)
class Image:
    """One parsed image. `size` counts every byte from header to last TLV; `digest` is what SMP calls `hash`."""

    version: str
    payload: bytes
    size: int
    digest: bytes
    security_counter: int
    key_hash: bytes
    signature: bytes
    signed: bytes

    @property
    def payment_version(self) -> int:
        """The version is `1.0.<payment version>`: a major of 1004 would not fit its byte."""
        return int(self.version.split(".")[2])


def measure(header: bytes) -> int:
    """Bytes up to the unprotected TLVs, from the first 32 bytes of an image; raises `ImageError`."""
    if len(header) < HEADER_BYTES:
        raise ImageError("The image is shorter than its header.", "Fetch or build the file again.")
    magic, _load, header_bytes, protected, payload, *_ = _HEADER.unpack_from(header)
    if magic != MAGIC:
        raise ImageError(
            "This is not a firmware image (no MCUboot header).", "Name a file made by `utbench image build`."
        )
    return int(header_bytes + payload + protected)


def parse(data: bytes) -> Image:
    """Read an image; bytes after its last TLV are ignored, as in a flash slot. Checks the hash, not the signature."""
    signed_bytes = measure(data)
    _magic, _load, header_bytes, protected, payload_bytes, _flags, major, minor, revision, _build, _pad = (
        _HEADER.unpack_from(data)
    )
    if len(data) < signed_bytes + _TLV_INFO.size:
        raise ImageError(
            f"The image is cut off: {len(data):,} bytes are there, its header announces more than {signed_bytes:,}.",
            "Fetch or copy the file again.",
        )
    tlvs = dict(_tlvs(data, signed_bytes, TLV_INFO_MAGIC))
    kept = dict(_tlvs(data, signed_bytes - protected, TLV_PROTECTED_MAGIC)) if protected else {}
    signed = data[:signed_bytes]
    digest = hashlib.sha256(signed).digest()
    if tlvs.get(TLV_SHA256) != digest:
        raise ImageError("The image is damaged: its hash does not fit its content.", "Fetch or copy the file again.")
    counter = kept.get(TLV_SECURITY_COUNTER, b"\0\0\0\0")
    if len(counter) != 4:
        raise ImageError("The image's security counter has the wrong length.", "Build the image again.")
    total = signed_bytes + _TLV_INFO.unpack_from(data, signed_bytes)[1]
    return Image(
        version=f"{major}.{minor}.{revision}",
        payload=bytes(data[header_bytes : header_bytes + payload_bytes]),
        size=total,
        digest=digest,
        security_counter=int.from_bytes(counter, "little"),
        key_hash=tlvs.get(TLV_KEYHASH, b""),
        signature=tlvs.get(TLV_ED25519, b""),
        signed=signed,
    )


def _tlvs(data: bytes, at: int, magic: int) -> Iterator[tuple[int, bytes]]:
    if len(data) < at + _TLV_INFO.size:
        raise ImageError("The image is cut off before its signature.", "Fetch or copy the file again.")
    found, total = _TLV_INFO.unpack_from(data, at)
    end = at + total
    if found != magic or total < _TLV_INFO.size or end > len(data):
        raise ImageError("The image is damaged or cut off in its signature part.", "Fetch or copy the file again.")
    at += _TLV_INFO.size
    while at + _TLV.size <= end:
        kind, length = _TLV.unpack_from(data, at)
        at += _TLV.size
        if at + length > end:
            raise ImageError("The image is damaged in its signature part.", "Fetch or copy the file again.")
        yield kind, bytes(data[at : at + length])
        at += length


def verify(image: Image, key: Ed25519PublicKey) -> None:
    """The signature must be by `key`; raises `ImageError`. MCUboot signs the SHA-256, not the bytes."""
    if image.key_hash != key_hash(key):
        raise ImageError(
            "The image is signed with another key than the terminal trusts.",
            "Use the image that your update server publishes for this terminal.",
        )
    try:
        key.verify(image.signature, image.digest)
    except InvalidSignature:
        raise ImageError(
            "The image's signature does not hold.", "Do not install it; fetch the image again from its publisher."
        ) from None


def key_hash(key: Ed25519PublicKey) -> bytes:
    """How MCUboot names a key: the SHA-256 of its DER form (32 bytes)."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()
