"""The house's own measures: lengths, stray words, and that every test says what it proves."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_MAX, FUNCTION_MAX = 400, 60
FOLDERS = ("devices", "ota", "terminal", "simulators", "tests")
TEXTS = {".py", ".toml", ".md", ".yaml", ".yml", ".sh", ".tcss", ".html", ".js", ".css"}
# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b|NotImplemented[E]rror")
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.~:/])/(?:h[o]me/[a-z]\w*|U[s]ers/\w+|r[o]ot)/")


def python_files() -> list[Path]:
    return [ROOT / "utbench.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]


def text_files() -> list[Path]:
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in (*FOLDERS, "docs", ".ci"):
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix in TEXTS or path.parent.name == ".ci")


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines without the docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_are_short():
    """No Python file has more than 400 lines."""
    lengths = {named(path): len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert len(lengths) > 50
    assert not {name: lines for name, lines in lengths.items() if lines > FILE_MAX}


def test_functions_are_short():
    """No function has more than 60 lines, its docstring not counted."""
    assert not [
        f"{named(path)}:{node.lineno} {node.name}: {length(node)} lines"
        for path in python_files()
        for node in functions(path)
        if length(node) > FUNCTION_MAX
    ]


@pytest.mark.parametrize("stray", [UNFINISHED, SOMEBODYS_FOLDER], ids=["unfinished", "somebody's folder"])
def test_no_stray_words(stray):
    """Nothing is marked as unfinished, and no file names a folder of somebody's machine."""
    assert not [
        f"{named(path)}:{number}: {line.strip()[:90]}"
        for path in text_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if stray.search(line)
    ]


def test_tests_are_no_packages():
    """No `__init__.py` lies below tests: it would shadow the packages of the same names."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_test_says_what_it_proves():
    """Every test's docstring is a sentence."""
    assert not [
        f"{named(path)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in functions(path)
        if node.name.startswith("test_") and not (ast.get_docstring(node) or "").rstrip().endswith(".")
    ]


def test_the_front_door_is_nobodys():
    """Nothing imports utbench.py but the tests."""
    pattern = re.compile(r"^\s*(?:import utbench\b|from utbench import)", re.MULTILINE)
    files = [path for path in python_files() if path.parts[len(ROOT.parts)] != "tests"]
    assert not [named(path) for path in files if pattern.search(path.read_text("utf-8"))]
