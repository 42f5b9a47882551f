"""Every page of the documentation does what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Session, blocks, commands, needs_curl


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.runs for block in blocks(page))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if needs_curl(page):
        pytest.skip("curl is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    Session(page, tmp_path).run()

    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def test_languages_are_those_that_the_convention_knows() -> None:
    known = {"", "python", "console", "sh", "text", "json", "toml", "yaml", "promql"}

    assert {
        (page.name, block.line): block.language
        for page in PAGES
        for block in blocks(page)
        if block.language not in known
    } == {}


def test_a_console_block_is_commands_and_what_they_print() -> None:
    text = "$ one \\\n  two\nfirst\nsecond\n$ three\n"

    assert list(commands(text)) == [("one two", "first\nsecond\n"), ("three", "")]
