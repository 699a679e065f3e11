"""The world's keys: random, made where they are first needed, kept 0600 in the world's own folder only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from devices.durable import save_bytes
from devices.errors import UtbenchError
from devices.lock import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in that PEM file, made now if there is none."""
    if not path.exists():
        with FileLock(path.with_suffix(".lock"), f"The key {path.name}"):
            if not path.exists():
                save_bytes(path, private_pem(Ed25519PrivateKey.generate()), secret=True)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise UtbenchError(f"{path} holds no Ed25519 key.", "Delete it, and a new one is made.")
    return key


def private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_public(pem: bytes) -> Ed25519PublicKey:
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise UtbenchError("This is no Ed25519 public key.", "Name another file.")
    return key
