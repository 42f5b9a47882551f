"""``modelserver verify``: models that are the same over every wire, and models that are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC

from modelserver import InferRequest, InferResponse, Model, ModelServer, Tensor, TensorMetadata
from modelserver.cli import main
from modelserver.cli.comparison import difference, spread, stacked, v1_difference
from modelserver.cli.verify import Target, verdict_of
from modelserver.golden import row_of
from tests.runtimes.estimators import IRIS

HEAD = "from modelserver import Model, TensorMetadata\nimport numpy as np\nclass M(Model):\n"
INPUTS = '    inputs = [TensorMetadata("x", "{}", [-1, 2])]\n'


def written(path: Path, body: str, datatype: str = "FP32") -> str:
    (path / "m.py").write_text(HEAD + INPUTS.format(datatype) + "".join(f"    {line}\n" for line in body.splitlines()))
    return f"{path / 'm.py'}:M"


def shown(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> list[list[str]]:
    """The table's lines, split into columns."""
    found = main(["verify", *argv])
    printed = capsys.readouterr()
    assert found == code, printed.out + printed.err
    return [[cell.strip() for cell in line.split("  ") if cell] for line in printed.out.splitlines()]


SAME = [[way, "bit-equal", "bit-equal"] for way in ("v1", "v2-json", "v2-binary", "grpc", "grpc-raw")]


@pytest.mark.parametrize("labels", [IRIS.target, IRIS.target_names[IRIS.target]], ids=["numbers", "texts"])
def test_a_model_file(labels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(IRIS.data, labels), tmp_path / "iris.joblib")

    lines = shown(capsys, str(tmp_path / "iris.joblib"))

    assert lines[0] == ["iris: 3 rows, made up from the metadata"]
    assert lines[2] == ["direct", "reference", "bit-equal to the single rows"]
    assert lines[3:] == SAME


def test_golden_rows_beside_it_are_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joblib.dump(SVC().fit(IRIS.data, IRIS.target), tmp_path / "model.joblib")
    (tmp_path / "model.golden.jsonl").write_text('{"instances": [[6.8, 2.8, 4.8, 1.4]], "predictions": [1]}\n' * 2)

    assert shown(capsys, str(tmp_path))[0] == ["model: 2 rows, model.golden.jsonl"]

    (tmp_path / "rows.jsonl").write_text('{"inputs": {"x": [[6.8, 2.8, 4.8, 1.4]]}, "outputs": {"output-0": [2]}}\n')
    lines = shown(capsys, str(tmp_path), "--rows", str(tmp_path / "rows.jsonl"), code=1)
    assert lines[0] == ["model: 1 rows, rows.jsonl"]
    assert lines[2] == ["direct", "reference", "rows cannot be batched"]
    assert lines[-1] == ["golden: rows.jsonl row 1: output-0[0]: got 1, expected 2"]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64", "INT8", "UINT64", "BOOL", "BYTES"])
def test_every_kind_of_datatype(datatype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(
        tmp_path, "def predict(self, request): return {'y': request['x'], 'z': request['x'][:, 0]}", datatype
    )
    assert [line[1] for line in shown(capsys, path)[3:]] == ["bit-equal"] * 5


def test_a_model_that_depends_on_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "def predict(self, request): return request['x'] + len(request['x'])")
    lines = shown(capsys, path, code=1)
    assert lines[2][2] == "not the single rows: output-0[0][0]: got 3.0, expected 1.0"


def test_a_model_that_knows_the_wire(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "def predict(self, request): return {'y': request['x'][:, 0] + (request.json is not None)}"
    lines = shown(capsys, written(tmp_path, body), code=1)
    assert lines[3][:2] == ["v1", "row 1: y[0]: got 1.0, expected 0.0"]
    assert lines[4][1] == "bit-equal"


def test_a_model_that_fails_on_one_wire(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = (
        "def predict(self, request):\n    from modelserver import InvalidInput\n"
        "    if request.json is not None: raise InvalidInput('not by v1')\n    return request['x']"
    )
    assert shown(capsys, written(tmp_path, body), code=1)[3][1] == "row 1: not by v1"


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "def predict(self, request): return request['x']")
    assert main(["verify", path, "--json"]) == 0
    [verdict] = json.loads(capsys.readouterr().out)
    assert verdict["ok"] is True
    assert verdict["ways"]["grpc"] == {"single": "bit-equal", "batched": "bit-equal"}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            "def load(self): raise RuntimeError('no weights')",
            "Model with name m is not ready. RuntimeError",
        ),
        ("inputs = ()\ndef predict(self, request): return 1", "model m declares no inputs to make rows from: give it"),
        ("def predict(self, request): yield request['x']", "the model streams, which cannot be compared"),
    ],
)
def test_what_cannot_be_verified(body: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", written(tmp_path, body)]) == 1
    assert f"error: {line}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "the following arguments are required: PATH|URL"),
        (["http://localhost:1"], "--model: missing, expected a model's name"),
    ],
)
def test_wrong_use(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", *argv])
    assert exit_.value.code == 2
    assert line in capsys.readouterr().err


class Doubler(Model):
    inputs = (TensorMetadata("x", "FP32", [-1, 2]),)

    def predict(self, request: InferRequest) -> np.ndarray:
        return request["x"] * 2


@pytest.fixture
async def running() -> AsyncIterator[ModelServer]:
    server = ModelServer(host="127.0.0.1", http_port=0, grpc_port=0, access_log=False, lame_duck=0)
    await server.start([Doubler("doubler")])
    await server.loaded()
    yield server
    await server.stop()


async def test_a_running_server(running: ModelServer, capsys: pytest.CaptureFixture[str]) -> None:
    url, grpc = f"http://127.0.0.1:{running.http_port}", f"127.0.0.1:{running.grpc_port}"

    code = await asyncio.to_thread(main, ["verify", url, "--model", "doubler", "--grpc", grpc])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[2:]] == ["v2-binary", "v1", "v2-json", "grpc", "grpc-raw"]
    assert lines[2].split("  ", 1)[1].split("  ")[0].strip() == "reference"


async def test_a_server_without_that_model(running: ModelServer, capsys: pytest.CaptureFixture[str]) -> None:
    code = await asyncio.to_thread(main, ["verify", f"http://127.0.0.1:{running.http_port}", "--model", "none"])
    assert code == 1
    assert capsys.readouterr().err.startswith("error: Model with name none does not exist.")


async def test_rounding_of_another_batch_is_told_and_let_through() -> None:
    async def ask(request: InferRequest) -> InferResponse:
        data = request["x"] / 3
        return InferResponse([Tensor("y", data if len(data) == 1 else np.nextafter(data, np.float32(9)))])

    rows = [row_of({"inputs": {"x": [[1.0]]}}, "row 1"), row_of({"inputs": {"x": [[2.0]]}}, "row 2")]
    verdict = await verdict_of(Target("m", [TensorMetadata("x", "FP32", [-1, 1])], {"direct": ask}, rows, "here"))

    assert verdict.ok
    assert verdict.ways["direct"]["batched"] == "the single rows, but for rounding (9e-08)"


# Comparison.

NAN = float("nan")


def tensors(*arrays: object, name: str = "y") -> list[Tensor]:
    return [Tensor(f"{name}{index}", np.asarray(array)) for index, array in enumerate(arrays)]


@pytest.mark.parametrize(
    ("expected", "got", "found"),
    [
        (tensors([1.0, NAN]), tensors([1.0, NAN]), ""),
        (tensors([0.0]), tensors([-0.0]), "y0[0]: got -0.0, expected 0.0"),
        (tensors([1, 2], [3]), tensors([1, 2]), "outputs y0, expected y0, y1"),
        (tensors([1]), tensors([1.0]), "y0 is FP64, expected INT64"),
        (tensors([1]), tensors([[1]]), "y0 has shape [1, 1], expected [1]"),
        (tensors([[1, 2], [3, 4]]), tensors([[1, 2], [3, 5]]), "y0[1][1]: got 5, expected 4"),
        (tensors(["a", "b"]), tensors(["a", "c"]), "y0[1]: got b'c', expected b'b'"),
        (tensors(np.zeros((0, 2))), tensors(np.zeros((0, 2))), ""),
        (tensors(1.0), tensors(2.0), "y0: got 2.0, expected 1.0"),
    ],
)
def test_the_first_difference(expected: list[Tensor], got: list[Tensor], found: str) -> None:
    assert difference(expected, got) == found


def test_v1_has_values_alone() -> None:
    expected = [Tensor("y", np.array([0.1, 0.2], np.float32))]
    assert v1_difference(expected, InferResponse([Tensor("predictions", np.array([0.1, 0.2]))])) == ""
    assert v1_difference(expected, InferResponse([Tensor("predictions", np.array([0.1]))])).startswith("y has shape")
    several = InferResponse([Tensor("b", np.array([1])), Tensor("a", np.array(["t"]))])
    assert v1_difference([Tensor("a", np.array(["t"])), Tensor("b", np.array([1], np.int8))], several) == ""
    assert v1_difference([Tensor("a", np.array(["t"]))] * 2, several) == "outputs b, a, expected a, a"


def test_answers_put_together() -> None:
    together = stacked([tensors([1, 2]), tensors([3])])
    assert together is not None
    assert together[0].data.tolist() == [1, 2, 3]
    assert stacked([tensors(1), tensors(2)]) is None
    assert stacked([tensors([1]), tensors([[1]])]) is None


def test_how_far_apart() -> None:
    assert spread(tensors([1.0, NAN]), tensors([1.0 + 1e-10, NAN]))[1] == ""
    assert spread(tensors([1.0]), tensors([1.1]))[1] == "y0[0]: got 1.1, expected 1.0"
    assert spread(tensors([1.0]), tensors([NAN]))[1] == "y0[0]: got nan, expected 1.0"
    assert spread(tensors([1]), tensors([2]))[1] == "y0[0]: got 2, expected 1"
