"""The XGBoost runtime behind a server: every wire, v1's forms of a table, missing values, flags, wrong bodies."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost
from modelserver_xgboost import XGBoostSettings

from modelserver import InferRequest, RuntimeSettings, Tensor
from modelserver.declaration import SettingError
from modelserver.engine.loader import sources_of_path
from modelserver.testing import WIRES, InMemoryServer, check_model
from tests.runtimes.boosters import CODES, FRAME, OBJECTIVES, ROWS, X, Y, columns_of, over_columns, saved, trained


@pytest.mark.parametrize("objective", OBJECTIVES)
async def test_rows_are_answered_alike_on_every_wire(tmp_path: Path, objective: str) -> None:
    await check_model(saved(tmp_path, OBJECTIVES[objective][0]()), [Tensor("input-0", ROWS)])


async def test_columns_are_answered_alike_on_every_wire(tmp_path: Path) -> None:
    await check_model(saved(tmp_path, over_columns()), columns_of(FRAME[:3]))


async def test_rows_with_a_margin_are_answered_alike_on_every_wire(tmp_path: Path) -> None:
    margin = Tensor("base_margin", np.array([1.0, 2.0, 3.0], np.float32))
    await check_model(saved(tmp_path, trained()), [Tensor("input-0", ROWS), margin])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["iris.ubj", "iris.json", "iris.bst"])
async def test_the_file_is_found_and_served(tmp_path: Path, wire: str, name: str) -> None:
    saved(tmp_path, trained(), name)
    async with InMemoryServer(tmp_path / name) as server:
        answer = await server.infer(wire, InferRequest("iris", [Tensor("input-0", ROWS)]))
    assert answer.outputs[0].data.astype(np.float32).tolist() == trained().inplace_predict(ROWS).tolist()


@pytest.mark.parametrize("wire", ["v2-json", "v2-binary", "grpc", "grpc-raw"])
async def test_parameters_come_with_the_request(tmp_path: Path, wire: str) -> None:
    parameters = {"predict_type": "contributions", "iteration_range": "0,2"}
    request = InferRequest("m", [Tensor("input-0", ROWS)], parameters=parameters)
    async with InMemoryServer([saved(tmp_path, trained())]) as server:
        answer = await server.infer(wire, request)
    expected = trained().predict(xgboost.DMatrix(ROWS), pred_contribs=True, iteration_range=(0, 2))
    assert answer.outputs[0].data.tolist() == expected.tolist()


ROW: dict[str, Any] = {"age": 0.5, "city": "Oslo", "size": 40, "visits": 3, "member": True}
CODED = [0.5, 1.0, 1.0, 3.0, 1.0]
V1: dict[str, tuple[Mapping[str, Any], list[list[float]]]] = {
    "dict rows in another order": ({"instances": [ROW, dict(reversed(ROW.items()))]}, [CODED, CODED]),
    "bare rows of several kinds": ({"instances": [list(ROW.values())]}, [CODED]),
    "bare rows of numbers": ({"instances": [CODED]}, [CODED]),
    "columns": ({"inputs": {name: [value] for name, value in ROW.items()}}, [CODED]),
    "small tables": ({"instances": [{name: [value] for name, value in ROW.items()}]}, [CODED]),
    "missing values": (
        {"instances": [ROW | {"age": None, "city": None}, ROW | {"visits": None, "size": None}]},
        [[np.nan, np.nan, *CODED[2:]], [*CODED[:2], np.nan, np.nan, 1.0]],
    ),
}


@pytest.mark.parametrize(("body", "rows"), V1.values(), ids=V1)
async def test_v1_bodies_for_columns(tmp_path: Path, body: Mapping[str, Any], rows: list[list[float]]) -> None:
    expected = over_columns().inplace_predict(np.array(rows, np.float32))
    async with InMemoryServer([saved(tmp_path, over_columns())]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", body)
    assert reply.status == 200, reply.body
    assert np.array(reply.json()["predictions"], np.float32).tolist() == expected.tolist()


async def test_null_and_nan_are_missing_values(tmp_path: Path) -> None:
    rows = np.array([[0.5, np.nan, 2.0, 0.0]], np.float32)
    expected = trained().inplace_predict(rows).tolist()
    listed = [[0.5, None, 2.0, 0.0]]
    v2 = {"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [1, 4], "data": listed[0]}]}
    async with InMemoryServer([saved(tmp_path, trained())]) as server:
        v1 = await server.request("POST", "/v1/models/m:predict", {"instances": listed})
        v2_reply = await server.request("POST", "/v2/models/m/infer", v2)
        raw = await server.infer("grpc-raw", InferRequest("m", [Tensor("input-0", rows)]))
    assert v1.json()["predictions"] == pytest.approx(expected)
    assert v2_reply.json()["outputs"][0]["data"] == pytest.approx(expected)
    assert raw.outputs[0].data.tolist() == expected


WRONG = {
    "a feature too few": ({"instances": [[1.0, 2.0]]}, "expected [-1, 5]"),
    "a column missing": ({"instances": [{k: v for k, v in ROW.items() if k != "city"}]}, "missing 'city'"),
    "a column too many": ({"instances": [ROW | {"town": "Oslo"}]}, "'town'"),
    "an unknown category": ({"instances": [ROW | {"city": "Lima"}]}, "unknown category 'Lima', expected one of 'Bern'"),
    "text for a number": ({"instances": [ROW | {"visits": "many"}]}, "'visits' has BYTES, expected numbers"),
    "nothing": ({}, "instances"),
}


@pytest.mark.parametrize(("body", "message"), WRONG.values(), ids=WRONG)
async def test_a_wrong_body_is_a_400_that_says_why(tmp_path: Path, body: dict[str, Any], message: str) -> None:
    async with InMemoryServer([saved(tmp_path, over_columns())]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", body)
    assert reply.status == 400, reply.body
    assert message in reply.json()["error"]


async def test_a_scikit_learn_wrapper_is_the_scikit_learn_runtimes(tmp_path: Path) -> None:
    classifier = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y > 0)
    joblib.dump(classifier, tmp_path / "model.joblib")
    async with InMemoryServer(tmp_path) as server:
        metadata = (await server.request("GET", "/v2/models/model")).json()
        answer = await server.infer("grpc", InferRequest("model", [Tensor("input-0", ROWS)]))
    assert metadata["platform"] == "sklearn"
    assert answer.outputs[0].data.tolist() == classifier.predict(ROWS).tolist()


# The runtime's own flags.


def model_at(path: Path, options: Mapping[str, object] | None = None) -> Any:
    [source], _ = sources_of_path(str(path), options=options)
    return source.make()


def test_settings_are_default_below_environment_below_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, trained())
    assert model_at(tmp_path).settings == XGBoostSettings(nthread=None)
    monkeypatch.setenv("MODELSERVER_NTHREAD", "3")
    assert model_at(tmp_path).settings == XGBoostSettings(nthread=3)
    assert model_at(tmp_path, {"nthread": "2", "device": "of another runtime"}).settings == XGBoostSettings(nthread=2)


def test_a_wrong_setting_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSERVER_NTHREAD", "many")
    with pytest.raises(SettingError, match="nthread: got 'many' from MODELSERVER_NTHREAD, expected a whole number"):
        XGBoostSettings.resolve()
    assert isinstance(XGBoostSettings(), RuntimeSettings)


@pytest.mark.parametrize("command", [["modelserver_xgboost"], ["modelserver", "serve"]])
def test_the_flag_is_the_command_lines(command: list[str]) -> None:
    arguments = [sys.executable, "-m", *command]
    helped = subprocess.run([*arguments, "--help"], capture_output=True, text=True)
    assert "--nthread N" in helped.stdout
    wrong = subprocess.run([*arguments, "--model_dir=.", "--nthread=0"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.endswith("nthread: got '0', expected a whole number, at least 1\n")
    assert "\n" not in wrong.stderr[:-1]


def test_codes_of_the_tests_are_pandas(tmp_path: Path) -> None:
    assert over_columns().inplace_predict(CODES).tolist() == over_columns().inplace_predict(FRAME).tolist()


def test_the_runtimes_table_says_which_build_of_xgboost_there_is() -> None:
    listed = subprocess.run([sys.executable, "-m", "modelserver", "runtimes"], capture_output=True, text=True)
    [line] = [line for line in listed.stdout.splitlines() if line.startswith("xgboost")]
    assert f"xgboost-cpu {xgboost.__version__}" in line
