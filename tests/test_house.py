"""The house rules that no linter has: sizes, names of files, one thing a file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Generated, and the names that TorchServe's users import.
NOT_OURS = {"_pb", "ts"}
SOURCES = sorted(
    path
    for folder in ("modelserver", "runtimes")
    for path in (ROOT / folder).rglob("*.py")
    if not NOT_OURS & set(path.parts)
)
ALL = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())

FILE_LINES = 300
FUNCTION_LINES = 50
# They say where something was put and not what it is.
NO_NAMES = {"utils", "helpers", "common", "manager", "handler", "misc"}


@ALL
def test_a_file_is_read_in_one_go(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES


@ALL
def test_a_function_is_seen_at_a_glance(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    too_long = {f.name: lines for f in functions if (lines := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION_LINES}
    assert too_long == {}


@ALL
def test_a_file_is_called_what_it_holds(path: Path) -> None:
    assert path.stem not in NO_NAMES


def test_the_license_is_said_in_every_distribution() -> None:
    for project in ROOT.glob("**/pyproject.toml"):
        if not any(part.startswith(".") for part in project.relative_to(ROOT).parts):
            assert 'license = "Apache-2.0"' in project.read_text(), project
