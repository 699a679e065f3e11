"""`utbench image …`: firmware images, made and read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from devices.commands.shell import command
from devices.durable import save_bytes
from devices.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from devices.home import Home
    from devices.report import Report


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def image() -> None:
    """Firmware images in MCUboot's format, signed with Ed25519."""


@command(
    image,
    "build",
    examples="utbench image build --model ut-99l --release 1004 --key image.pem -o ut-99l-1004.bin\n"
    "utbench image build --toml my-release.toml --key image.pem -o mine.bin --security-counter 2",
)
@click.option("--model", help="ut-99l, ut-77l or ut-55l.")
@click.option("--release", type=int, help="A release that comes with utbench.")
@click.option(
    "--toml", "toml_file", type=click.Path(exists=True, dir_okay=False), help="A release.toml of your own instead."
)
@click.option(
    "--key", "key_file", required=True, type=click.Path(exists=True, dir_okay=False), help="Ed25519 private key, PEM."
)
@click.option(
    "--security-counter",
    default=1,
    type=click.IntRange(0, 2**32 - 1),
    show_default=True,
    help="Raised only to bar older releases for good.",
)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="Where to write the image.")
def build(
    report: Report,
    home: Home,
    model: str | None,
    release: int | None,
    toml_file: str | None,
    key_file: str,
    security_counter: int,
    output: str,
) -> int:
    """Check a release as the terminal would, pack it and sign it."""
    from ota.image import parse
    from terminal.firmware import make_image, release_text

    del home
    if (toml_file is None) == (model is None or release is None):
        raise UsageError("Name --model and --release, or a file with --toml.")
    text = Path(toml_file).read_bytes() if toml_file else release_text(str(model), int(str(release)))
    data = make_image(text, Path(key_file).read_bytes(), security_counter=security_counter)
    save_bytes(Path(output), data)
    made = parse(data)
    report.data(f"{output}: version {made.version}, {len(data):,} bytes, hash {made.digest.hex()}")
    report.event("image", file=output, version=made.version, bytes=len(data), hash=made.digest.hex())
    return report.result(0)


@command(
    image, "inspect", examples="utbench image inspect ut-99l-1004.bin\nutbench image inspect x.bin --key pub.pem --json"
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--key", "key_file", type=click.Path(exists=True, dir_okay=False), help="Check the signature with this key, PEM."
)
def inspect(report: Report, home: Home, file: str, key_file: str | None) -> int:
    """What an image holds: version, hash, counter, signature, and the release inside."""
    from ota.image import parse, verify
    from terminal.firmware import read_release

    del home
    made = parse(Path(file).read_bytes())
    signature = "not checked (name the key with --key)"
    if key_file:
        verify(made, _public_key(Path(key_file)))
        signature = "valid"
    release = read_release(made.payload)
    rows = {
        "version": made.version,
        "size": f"{made.size:,} bytes",
        "hash": made.digest.hex(),
        "security counter": str(made.security_counter),
        "signing key": made.key_hash.hex()[:16],
        "signature": signature,
        "model": release.model,
        "payment version": str(release.payment_version),
        "programs": ", ".join(f"{one.name} {one.code}" for one in release.programs),
        "retroactive": ", ".join(one.name for one in release.programs if "retro" in release.kinds(one)) or "none",
    }
    for name, value in rows.items():
        report.data(f"{name:<17} {value}")
    report.event("image", file=file, **{name.replace(" ", "_"): value for name, value in rows.items()})
    return report.result(0)


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    pem = path.read_bytes()
    try:
        key: object = serialization.load_pem_public_key(pem)
    except ValueError:
        try:
            private = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            raise UsageError(f"{path} is no key in PEM.", "Name an Ed25519 key.") from None
        key = private.public_key()
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UsageError(f"{path} holds no Ed25519 key.", "Terminals accept Ed25519 only.")
    return key
