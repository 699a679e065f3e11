"""What every test may ask for: a home of its own, a world on it, the command line in this process."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from devices.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simulators.make import Order
    from simulators.world import World

# How fast this machine happens to be decides nothing.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Empty, and the only one that this test can come by."""
    monkeypatch.setenv("UTBENCH_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def make_world(home: Home) -> Iterator[Callable[..., World]]:
    """A world of the terminals that are named, without the waits of the real thing; ends with the test."""
    from simulators.world import World, WorldSpec

    with contextlib.ExitStack() as open_worlds:

        def make(*orders: Order) -> World:
            return open_worlds.enter_context(World(home, WorldSpec(pace=0.0, orders=orders)))

        yield make


@dataclass(frozen=True)
class Ran:
    """One call of the command line. `events` are its JSON lines, `narration` what stderr heard."""

    code: int
    out: str
    narration: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.result["ports"]

    def error(self) -> dict[str, Any]:
        (error,) = (event for event in self.events if event["event"] == "error")
        return error


@pytest.fixture
def utbench(home: Home, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`utbench WORDS…` on this test's home."""
    from utbench import main

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = main(["--home", str(home.path), *words])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run
