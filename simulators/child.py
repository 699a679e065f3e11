"""The world as a child process that ends when our end of its stdin does, so a crash of either leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from devices.errors import Unreachable, UtbenchError

if TYPE_CHECKING:
    from types import TracebackType

    from devices.home import Home

END_S = 10.0


class WorldChild:
    """`utbench sim world` on `home`, started and ready. `ready` is its first line: host, updates, ports by serial."""

    def __init__(self, home: Home, *options: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        argv = [sys.executable, "-m", "utbench", "--home", str(home.path), "sim", "world", "--json", "--until-eof"]
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [*argv, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=Path(__file__).parent.parent,
            start_new_session=sys.platform != "win32",  # Ctrl-C is ours; we end the child by its stdin
        )
        self.ready: dict[str, Any] = {}
        try:
            self._read_first_line()
        except BaseException:
            self.close()
            raise

    def _read_first_line(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        with contextlib.suppress(ValueError):
            self.ready = json.loads(line)
        if self.ready.get("event") != "ready":
            raise self._failure()

    def close(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _failure(self) -> UtbenchError:
        """What the child said of it: its own error line, else the end of its stderr."""
        code = self._process.wait(END_S)
        if self.ready.get("event") == "error":
            kind = Unreachable if code == Unreachable.exit_code else UtbenchError
            return kind(str(self.ready.get("message")), str(self.ready.get("hint")))
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else "it said nothing"
        return UtbenchError(f"The world did not start: {said}.", "Run `utbench sim world` to see more.")
