"""Images as imgtool makes them, read byte by byte and damaged in every place."""

from __future__ import annotations

import contextlib
import hashlib
import struct

import imgtool.image
import imgtool.keys
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import UsageError
from ota import build
from ota.image import ImageError, key_hash, measure, parse, verify


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PAYLOAD = build.pack({"release.toml": b"payment_version = 1004\n"})
IMAGE = build.build(b"payload!" * 8, version="1.0.1004", key_pem=pem(KEY), security_counter=3)
NOISE = bytes(range(256))


def test_by_hand():
    """Header, payload, counter, hash, key and signature stand where MCUboot's design says, little-endian."""
    magic, _load, header, protected, size, _flags = struct.unpack_from("<IIHHII", IMAGE)
    assert (magic, header, size) == (0x96F3B83D, 32, 64)
    assert IMAGE[20:28] == struct.pack("<BBHI", 1, 0, 1004, 0)
    assert IMAGE[32:96] == b"payload!" * 8
    assert IMAGE[96:108] == struct.pack("<HHHHI", 0x6908, 12, 0x50, 4, 3)
    assert protected == 12
    image = parse(IMAGE)
    assert (image.version, image.payment_version, image.security_counter) == ("1.0.1004", 1004, 3)
    assert image.payload == b"payload!" * 8
    assert image.size == len(IMAGE)
    assert image.digest == hashlib.sha256(IMAGE[:108]).digest()
    assert measure(IMAGE[:32]) == 108


def test_imgtool_agrees(tmp_path):
    """MCUboot's own tool verifies the image and names the same hash."""
    path = tmp_path / "image.bin"
    path.write_bytes(IMAGE)
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    result, version, digest, *_ = imgtool.image.Image.verify(str(path), imgtool.keys.load(str(tmp_path / "key.pem")))
    assert result == imgtool.image.VerifyResult.OK
    assert tuple(version)[:3] == (1, 0, 1004)
    assert digest == parse(IMAGE).digest


def test_signature():
    """The key that signed it verifies; another does not, and is named as what is wrong."""
    image = parse(IMAGE)
    verify(image, KEY.public_key())
    assert image.key_hash == key_hash(KEY.public_key())
    with pytest.raises(ImageError, match="another key"):
        verify(image, STRANGER.public_key())


def test_forged_key_hash():
    """Claiming the right key does not help: the signature itself is checked."""
    forged = build.build(b"payload!" * 8, version="1.0.1004", key_pem=pem(STRANGER), security_counter=3)
    forged = forged.replace(key_hash(STRANGER.public_key()), key_hash(KEY.public_key()))
    image = parse(forged)
    with pytest.raises(ImageError, match="signature does not hold"):
        verify(image, KEY.public_key())


def test_every_truncation():
    """Cut off anywhere, the image is refused."""
    for length in range(len(IMAGE)):
        with pytest.raises(ImageError):
            parse(IMAGE[:length])


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_byte_counts(mask):
    """One changed byte anywhere, and it neither parses nor verifies."""
    for at in range(len(IMAGE)):
        damaged = bytearray(IMAGE)
        damaged[at] ^= mask
        with pytest.raises(ImageError):
            verify(parse(bytes(damaged)), KEY.public_key())


def test_in_a_slot():
    """What follows the image in a flash slot is no part of it."""
    assert parse(IMAGE + b"\xff" * 4096) == parse(IMAGE)
    assert parse(IMAGE + NOISE).size == len(IMAGE)


@given(st.binary(max_size=200), st.booleans())
def test_noise(data, headed):
    """Any bytes are an image or an `ImageError`, never another exception."""
    with contextlib.suppress(ImageError):
        parse(IMAGE[:32] + data if headed else data)


@given(st.binary(min_size=28, max_size=28), st.binary(max_size=300))
def test_any_header(header, rest):
    """Lengths that point anywhere are refused, and cost no memory."""
    with contextlib.suppress(ImageError):
        parse(IMAGE[:4] + header + rest)


def test_same_files_same_payload():
    """A payload depends on its files alone: not on their order, not on the time."""
    one = build.pack({"a": b"1", "release.toml": b"2"})
    assert one == build.pack({"release.toml": b"2", "a": b"1"})
    assert build.unpack(one) == b"2"
    assert build.unpack(one, "a") == b"1"


@pytest.mark.parametrize("payload", [b"", b"no archive", PAYLOAD[:300], build.pack({"other": b""})])
def test_payload_without_release(payload):
    """A payload that is no archive, a torn one, or one without a release is refused with a sentence."""
    with pytest.raises(UsageError, match=r"holds no release\.toml"):
        build.unpack(payload)


@pytest.mark.parametrize("key", [b"", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"])
def test_bad_signing_key(key, capsys):
    """A key that cannot be read is a usage error, and imgtool's own talk reaches nobody."""
    with pytest.raises(UsageError, match="key"):
        build.build(b"x", version="1.0.1", key_pem=key)
    assert capsys.readouterr().out == ""


def test_public_key_does_not_sign():
    """A public key, given by mistake, is refused."""
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UsageError):
        build.build(b"x", version="1.0.1", key_pem=public)
