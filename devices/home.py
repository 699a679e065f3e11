"""Where state lives: `--home DIR`, else `UTBENCH_HOME`, else the platform's data folder.

HOME/config.toml                [usb] ids = ["1234:5678"] (this site's own)
HOME/agent/                     the update agent's: trust, tokens, state, cache
HOME/run/devices/, locks/       simulated devices that run now, ports in use
HOME/world/                     the simulators': keys, host.sqlite, updates, devices
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.durable import save_bytes
from devices.errors import UsageError


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @classmethod
    def at(cls, option: str | None = None) -> Home:
        named = option or os.environ.get("UTBENCH_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        import platformdirs

        return cls(Path(platformdirs.user_data_dir("utbench", appauthor=False)))

    @property
    def agent(self) -> Path:
        return self.path / "agent"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def world(self) -> Path:
        return self.path / "world"

    @property
    def locks(self) -> Path:
        return self.run / "locks"

    def config(self) -> dict[str, Any]:
        path = self.path / "config.toml"
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path} is not valid TOML: {error}.", "Correct it, or delete it to start afresh."
            ) from error

    def usb_ids(self) -> frozenset[tuple[int, int]]:
        """The site's own terminals by (vendor, product); empty until `utbench device adopt` or an edit."""
        config = self.config()
        try:
            ids = config.get("usb", {}).get("ids", [])
            return frozenset((int(v, 16), int(p, 16)) for v, p in (str(text).split(":") for text in ids))
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError('config.toml: [usb] ids must look like "1a86:7523".', "Correct them.") from error

    def add_usb_id(self, vendor: int, product: int) -> None:
        ids = sorted(self.usb_ids() | {(vendor, product)})
        listed = ", ".join(f'"{v:04x}:{p:04x}"' for v, p in ids)
        path = self.path / "config.toml"
        old = path.read_text("utf-8") if path.exists() else ""
        new = _with_usb_ids(old, f"ids = [{listed}]")
        if not _is_toml(new):
            raise UsageError(
                f"{path} is written in a way that utbench cannot edit.",
                f"Put this line into its usb section yourself: ids = [{listed}]",
            )
        save_bytes(path, new.encode())


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _with_usb_ids(text: str, line: str) -> str:
    """The same file with the `ids` of [usb] replaced or added; everything else stays as its owner wrote it."""
    lines = text.splitlines()
    if "[usb]" not in lines:
        return "\n".join([*lines, *([""] if lines else []), "[usb]", line, ""])
    at = lines.index("[usb]") + 1
    for n in range(at, len(lines)):
        if lines[n].startswith("["):
            break
        if lines[n].split("=")[0].strip() == "ids":
            end = n + 1
            while end < len(lines) and not _is_toml("\n".join(lines[n:end])):
                end += 1  # a list over several lines
            return "\n".join([*lines[:n], line, *lines[end:], ""])
    return "\n".join([*lines[:at], line, *lines[at:], ""])
