"""The command itself: verbs, versions, runtimes, and mistakes in one line."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import modelserver
from modelserver.cli import VERBS, main, runtimes

ROOT = Path(__file__).parent.parent.parent


def test_python_m_modelserver_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelserver", "--version"], capture_output=True, text=True, cwd=ROOT
    )

    assert (0, f"modelserver {modelserver.__version__}") == (done.returncode, done.stdout.splitlines()[0])


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_place_in_the_documentation(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])

    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: modelserver {verb}")
    assert f"## modelserver {verb}" in (ROOT / "docs/reference/cli.md").read_text()


def test_the_documentation_has_every_flag_of_infer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["infer", "--help"])
    flags = {word.strip("[],") for word in capsys.readouterr().out.split() if word.strip("[").startswith("--")}

    page = (ROOT / "docs/reference/cli.md").read_text()
    assert [flag for flag in flags - {"--help"} if f"`{flag}" not in page] == []


def test_no_verb_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().out.startswith("usage: modelserver VERB")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["srve"], "modelserver: unknown verb 'srve'; did you mean serve?"),
        (["xyzzy"], f"modelserver: unknown verb 'xyzzy', expected one of {', '.join(VERBS)}"),
    ],
)
def test_an_unknown_verb(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert message + "\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "PATH: missing, expected a model file, a directory, a repository or my_model.py:Class"),
        (["nowhere"], "PATH: got 'nowhere', expected a file or a directory that exists"),
        (["nowhere.py:Doubler"], "PATH: got 'nowhere.py:Doubler', expected a file or a directory that exists"),
        ([".", "--model_dir", "other"], "model_dir: got 'other' beside PATH '.', expected one of them"),
        ([".", "--http_port=x"], "http_port: got 'x', expected a whole number from 0 to 65535"),
        ([".", "--http-prot", "1"], "unknown flag --http-prot; did you mean --http-port?"),
    ],
)
def test_wrong_use_of_serve_is_one_line_and_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["serve", *argv])

    assert exit_.value.code == 2
    assert f"modelserver serve: {message}\n" == capsys.readouterr().err


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (modelserver.__version__, platform.python_version()) == (found["modelserver"], found["python"])
    assert {"packages", "runtimes"} <= found.keys()


def test_runtimes_as_json_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtimes", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)


def test_a_runtime_that_cannot_be_imported_says_why() -> None:
    point = EntryPoint("broken", "no_such_module:Model", "modelserver.runtimes")

    runtime = runtimes.describe(point)

    assert runtime.error == "ModuleNotFoundError: No module named 'no_such_module'"
    assert "broken" in runtimes.table([runtime])
    assert "cannot be used: ModuleNotFoundError" in runtimes.table([runtime])
