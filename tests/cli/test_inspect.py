"""``modelserver inspect``: files, directories, repositories; what is printed and the exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelserver.cli import main

ROOT = Path(__file__).parent.parent.parent
ARTIFACTS = ROOT / "tests/golden/artifacts"


def shown(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(["inspect", *argv]) == code
    return capsys.readouterr().out


def test_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, str(ARTIFACTS / "sklearn-1.4.2-pipeline.joblib")).splitlines()

    assert lines[0] == "sklearn-1.4.2-pipeline.joblib"
    facts = dict(line.strip().split("  ", 1) for line in lines[1:])
    assert {name: text.strip() for name, text in facts.items() if name not in ("does not fit", "sha256")} == {
        "format": "joblib, pickle protocol 4",
        "framework": "scikit-learn",
        "model": "sklearn.pipeline.Pipeline",
        "saved with": "scikit-learn 1.4.2, numpy 1",
        "steps": "StandardScaler -> LogisticRegression",
        "input": "input-0  FP64 [-1, 4]",
        "output": "output-0  INT64 [-1]",
        "imports": "sklearn, numpy, joblib",
        "size": "1,550 bytes",
    }
    assert facts["does not fit"].startswith("saved with scikit-learn 1.4.2, installed is ")


def test_what_is_not_known_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, str(ARTIFACTS / "torchscript.pt"))
    assert "  saved with  unknown\n  input       x\n  input       scale\n  output      unknown\n" in text


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    [found] = json.loads(shown(capsys, str(ARTIFACTS / "torch-2.14.1.pt2"), "--json"))
    assert found["saved_with"] == {"torch": "2.14.1"}
    assert found["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": [-1, 4], "optional": False}
    assert (found["file"], found["damage"], len(found["sha256"])) == ("torch-2.14.1.pt2", "", 64)


def test_a_models_directory_and_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("iris/1/model.joblib", "iris/2/model.joblib", "wine/model.ubj"):
        (tmp_path / place).parent.mkdir(parents=True)
    shutil.copy(ARTIFACTS / "sklearn-1.4.2-pipeline.joblib", tmp_path / "iris/1/model.joblib")
    shutil.copy(ARTIFACTS / "sklearn-1.4.2-forest.joblib", tmp_path / "iris/2/model.joblib")
    shutil.copy(ARTIFACTS / "xgboost-3.2.0.ubj", tmp_path / "wine/model.ubj")

    assert shown(capsys, str(tmp_path / "wine")).startswith("model.ubj\n")
    found = json.loads(shown(capsys, str(tmp_path), "--json"))
    assert [(each["name"], each["version"], each["framework"]) for each in found] == [
        ("iris", "1", "scikit-learn"),
        ("iris", "2", "scikit-learn"),
        ("wine", "1", "xgboost"),
    ]


def test_damage_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "empty").mkdir()
    shutil.copy(ARTIFACTS / "xgboost-3.2.0.ubj", tmp_path / "good/model.ubj")
    (tmp_path / "good/model.ubj").write_bytes((tmp_path / "good/model.ubj").read_bytes()[:99])

    text = shown(capsys, str(tmp_path), code=1)

    assert "empty version 1\n" in text
    assert "damaged  no model file: expected *.joblib" in text
    assert "damaged  cut short: ends at byte 99, in the middle of a value" in text


@pytest.mark.parametrize(("path", "line"), [("none", "none: no such file or directory"), (".", "no models")])
def test_nothing_there(path: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / path)]) == 1
    printed = capsys.readouterr()
    assert line in printed.out + printed.err


def test_no_framework_is_imported() -> None:
    files = [str(ARTIFACTS / name) for name in ("sklearn-1.4.2-named.pkl", "xgboost-3.2.0.pkl", "module.pth")]
    program = (
        "import sys; from modelserver.cli import main;"
        f" [main(['inspect', file]) for file in {files}];"
        " assert not {'sklearn', 'joblib', 'xgboost', 'torch', 'pickle'} & set(sys.modules) - {'pickle'}"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
