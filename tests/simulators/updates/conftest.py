from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.clock import KST, FixedClock
from ota import build
from simulators.register import Register, TerminalCard
from simulators.updates.server import UpdateServer

KEY = Ed25519PrivateKey.generate()
KEY_PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture(scope="session")
def public_key():
    return KEY.public_key()


@pytest.fixture(scope="session")
def make_image():
    """An image as a terminal takes it: `release.toml` and some weight."""

    def make(model="UT-99L", version=1004, *, weight=200_000, toml=None, image_version=None):
        text = toml if toml is not None else f'schema = 1\nmodel = "{model}"\npayment_version = {version}\n'
        payload = build.pack({"release.toml": text.encode(), "assets.bin": bytes(range(256)) * (weight // 256)})
        return build.build(payload, version=image_version or f"1.0.{version}", key_pem=KEY_PEM)

    return make


@pytest.fixture(scope="session")
def image(make_image):
    return make_image()


@pytest.fixture
def clock():
    return FixedClock(dt.datetime(2026, 3, 2, 9, 0, tzinfo=KST))


@pytest.fixture
def register(tmp_path):
    register = Register(tmp_path / "terminals")
    for number, model, serial, token in (("1", "UT-99L", "A1", "token-a"), ("2", "UT-77L", "B2", "token-b")):
        register.add(TerminalCard(number, serial, model, "inst-1", "", token))
    return register


@pytest.fixture
def server(tmp_path, register, clock):
    with UpdateServer(tmp_path / "updates", register.folder, clock) as running:
        yield running
