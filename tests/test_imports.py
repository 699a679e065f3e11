"""Who may import what: the four floors, the pure modules, and what `--help` may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("devices", "ota", "terminal", "simulators")
HEAVY = {"textual", "rich", "cv2", "requests", "fastapi", "cryptography", "sqlalchemy", "tuf", "serial", "uvicorn"}
IMPURE = {
    *("time", "random", "secrets", "uuid", "os", "socket", "threading", "asyncio", "serial", "requests", "textual"),
    *("subprocess", "pathlib", "queue", "sqlite3", "http", "urllib", "tempfile", "select"),
}
PURE = {
    "devices": ("profiles", "framing", "smp", "session", "upload", "groups"),
    "ota": ("image", "agent", "plan"),
    "terminal": (
        *("fields", "release", "rules", "codes", "state", "flow", "payment", "core"),
        *("lcd", "canvas", "view", "contract"),
    ),
    "simulators": ("bootloader", "swap", "slots", "host.core"),
}
PURE_MODULES = tuple(f"{floor}.{name}" for floor, names in PURE.items() for name in names)
NOW = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def file_of(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(node: ast.AST, *, typing: bool) -> set[str]:
    """Absolute names of all that is imported, in functions too; `typing`: also what only the type checker sees."""
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports here are absolute"
            found |= {f"{child.module}.{alias.name}" for alias in child.names}
        elif typing or not is_typing_only(child):
            found |= imports(child, typing=typing)
    return found


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("floor", FLOORS)
def test_floors(floor):
    """A floor imports itself and those below it, never one above, nor the front door, nor the tests."""
    above = {*FLOORS[FLOORS.index(floor) + 1 :], "utbench", "tests"}
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    faults = {str(path): tops(imports(tree_of(path), typing=True)) & above for path in files}
    assert not {path: names for path, names in faults.items() if names}


@pytest.mark.parametrize("module", PURE_MODULES)
def test_pure_modules(module):
    """A pure module reaches no clock, chance, system, port, network or screen."""
    tree = tree_of(file_of(module))
    assert not tops(imports(tree, typing=False)) & IMPURE
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = {
        (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", ""), call.attr)
        for call in calls
        if isinstance(call, ast.Attribute)
        for owner in [call.value]
    }
    assert not asked & NOW
    assert not {getattr(call, "id", "") for call in calls} & {"open", "print", "input", "exec", "eval"}


def test_the_contract_names_them_all():
    """The import contract in pyproject.toml covers every pure module and every impure one that matters."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (pure,) = (contract for contract in config["contracts"] if contract["type"] == "forbidden")
    assert set(pure["source_modules"]) >= set(PURE_MODULES)
    assert set(pure["forbidden_modules"]) >= {
        *("time", "random", "secrets", "uuid", "os", "socket", "threading", "asyncio", "serial", "requests", "textual"),
    }
    (layers,) = (contract for contract in config["contracts"] if contract["type"] == "layers")
    assert layers["layers"] == list(reversed(FLOORS))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["device", "--help"]])
def test_help_is_light(words):
    """Asking for help imports no screen, picture, web, crypto or database library, and no floor but what it needs."""
    code = (
        "import sys, utbench\n"
        f"code = utbench.main({words!r})\n"
        "print('\\n'.join(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stderr.split())
    assert "click" in loaded
    assert not loaded & HEAVY
    assert not loaded & {"ota", "terminal", "simulators"}
    assert "utbench" in ran.stdout
