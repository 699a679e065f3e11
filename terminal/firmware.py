"""From a release to an image and back: which releases ship, what an image's payload holds.

The assets beside `release.toml` stand for the fonts, sounds and pictures of a real terminal: bytes that
compress no better than those do, the same for the same release, so that a transfer takes as long as a real one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from devices.errors import UsageError
from devices.profiles import profile
from ota import build
from terminal.release import Release, load

RELEASES = Path(__file__).parent / "releases"
ASSET_FILE = "assets/media.bin"
ASSET_BYTES = 512 * 1024


def shipped(model: str) -> tuple[int, ...]:
    """The payment versions that come with utbench, oldest first."""
    return tuple(sorted(int(path.stem) for path in (RELEASES / model).glob("*.toml")))


def release_text(model: str, number: int) -> bytes:
    if not profile(model).firmware:
        raise UsageError(f"{profile(model).name} is updated by its store and has no image.", "Name a UT model.")
    path = RELEASES / profile(model).model / f"{number}.toml"
    if not path.is_file():
        known = ", ".join(map(str, shipped(profile(model).model))) or "none"
        raise UsageError(f"There is no release {number} for {profile(model).name}.", f"Shipped with utbench: {known}.")
    return path.read_bytes()


def make_image(text: bytes, key_pem: bytes, *, security_counter: int = 1, asset_bytes: int = ASSET_BYTES) -> bytes:
    """Check a release as the terminal would, then pack and sign it."""
    release = load(text)
    seed = f"{release.model} {release.payment_version}".encode()
    files = {build.RELEASE_FILE: text, ASSET_FILE: hashlib.shake_256(seed).digest(asset_bytes)}
    return build.build(
        build.pack(files), version=release.sw_version, key_pem=key_pem, security_counter=security_counter
    )


def read_release(payload: bytes, model: str | None = None) -> Release:
    """The release inside an image's payload, self-tested for the device it is to run on."""
    return load(build.unpack(payload), model)
