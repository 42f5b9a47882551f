"""What lies beside a model: settings, digest, warm-up and golden rows, through a real server."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelserver import InferRequest, ModelNotReady, ModelServerError, Tensor
from modelserver.testing import InMemoryServer

MODEL = """
from modelserver import BatchSettings, Model, TensorMetadata

class Sum(Model):
    inputs = [TensorMetadata("x", "FP32", [-1, 2])]
    input_check = "compatible"
    batching = BatchSettings()
    calls = 0

    def predict(self, request):
        Sum.calls += 1
        if not request["x"].shape[1]:
            raise RuntimeError("no columns")
        zero = request["x"][:, 0] * 0
        limit = self.batching.max_batch_size if self.batching else 0
        total = request["x"].sum(axis=1) * self.parameters.get("factor", 1)
        inline = self.execution == "inline"
        return {"y": total, "calls": zero + Sum.calls, "limit": zero + limit, "inline": zero + inline}

class Steps(Model):
    def predict(self, request):
        yield {"y": request["x"]}
"""
OUTPUTS = "'y', 'calls', 'limit', 'inline'"
X = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "sum.py").write_text(MODEL)
    return tmp_path


def served(place: Path, rows: list[object] | None = None, cls: str = "Sum", **settings: Any) -> InMemoryServer:
    """A server of the model, with its settings and its golden rows beside it."""
    (place / "model-settings.json").write_text(json.dumps(settings))
    if rows is not None:
        (place / "model.golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return InMemoryServer(f"{place / 'sum.py'}:{cls}")


async def answer(server: InMemoryServer, *row: float, name: str = "sum") -> dict[str, list[float]]:
    response = await server.infer("grpc-raw", InferRequest(name, [Tensor("x", np.array([row], np.float32))]))
    return {tensor.name: tensor.data.tolist() for tensor in response.outputs}


async def reason(server: InMemoryServer) -> str:
    async with server:
        dataplane = server.composition.dataplane
        assert not dataplane.ready()
        return dataplane.why_model_not_ready("sum")


async def test_without_anything_beside_it(place: Path) -> None:
    async with InMemoryServer(f"{place / 'sum.py'}:Sum") as server:
        assert (await answer(server, 1, 2))["y"] == [3.0]


async def test_name_version_platform_parameters_batching_and_execution(place: Path) -> None:
    settings = {"name": "total", "version": "7", "platform": "mine", "parameters": {"factor": 2}}
    async with served(place, **settings, batching={"max_batch_size": 5}, execution="inline") as server:
        metadata = server.composition.dataplane.model_metadata("total")
        assert (list(metadata.versions), metadata.platform) == (["7"], "mine")
        answered = await answer(server, 1, 2, name="total")
        assert (answered["y"], answered["limit"], answered["inline"]) == ([6.0], [5.0], [1.0])


async def test_batching_may_be_turned_off(place: Path) -> None:
    async with served(place, batching=False) as server:
        assert (await answer(server, 1, 2))["limit"] == [0.0]


async def test_declared_inputs_are_checked_exactly(place: Path) -> None:
    wrong = InferRequest("sum", [Tensor("x", np.zeros((1, 2), np.float64))])
    async with served(place) as server:
        await server.infer("grpc-raw", wrong)  # as the model itself has it: any number will do
    async with served(place, inputs=X, outputs=[{"name": "y", "datatype": "FP64", "shape": [-1]}]) as server:
        with pytest.raises(ModelServerError, match=r"inputs\[0\].datatype: got FP64, expected FP32"):
            await server.infer("grpc-raw", wrong)
        outputs = server.composition.dataplane.model_metadata("sum").outputs
        assert [(output.name, output.datatype) for output in outputs] == [("y", "FP64")]


async def test_a_mistake_in_the_settings_is_one_line(place: Path) -> None:
    with pytest.raises(ValueError, match=r'model-settings.json: execution: got "fast", expected one of'):
        await served(place, execution="fast").__aenter__()


async def test_the_digest_is_checked(place: Path) -> None:
    digest = hashlib.sha256(MODEL.encode()).hexdigest()
    assert await reason(served(place, sha256="0" * 64)) == f"sum.py: sha256: got {digest[:12]}, expected 000000000000"
    async with served(place, sha256=digest) as server:
        assert server.composition.dataplane.ready()


GOOD = {"inputs": {"x": [[1, 2], [3, 4]]}, "outputs": {"y": [3, 7]}}


async def test_golden_rows_that_hold(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelserver")
    async with served(place, [GOOD, {"instances": [[1, 2]], "predictions": [{"y": 3}]}]) as server:
        assert server.composition.dataplane.ready()
    assert "model sum: 2 golden rows are answered as they say" in caplog.messages


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"inputs": {"x": [[1, 2]]}, "outputs": {"y": [4]}}, "y[0]: got 3.0, expected 4"),
        (
            {"inputs": {"x": [[1, 2]]}, "outputs": {"z": [4]}},
            "outputs: expected 'z', got 'y', 'calls', 'limit', 'inline'",
        ),
        ({"inputs": {"x": [[1, 2, 3]]}, "outputs": {}}, "inputs[0].shape: got [1, 3], expected [-1, 2]"),
        ({"instances": [[1, 2]], "predictions": [{"y": 4}]}, "predictions[0].y: got 3.0, expected 4"),
        ({"input": 1}, "unknown key 'input', expected atol, inputs, instances, outputs, parameters, predictions, rtol"),
    ],
)
async def test_the_first_golden_row_that_fails_is_the_reason(place: Path, row: object, expected: str) -> None:
    assert await reason(served(place, [GOOD, row, GOOD])) == f"model.golden.jsonl row 2: {expected}"


async def test_golden_rows_in_the_settings_in_another_file_or_not_at_all(place: Path) -> None:
    wrong = {**GOOD, "outputs": {"y": [0, 0]}}
    assert await reason(served(place, golden=[GOOD, wrong])) == "row 2: y[0]: got 3.0, expected 0"
    (place / "other.jsonl").write_text(json.dumps(wrong))
    assert await reason(served(place, golden="other.jsonl")) == "other.jsonl row 1: y[0]: got 3.0, expected 0"
    assert await reason(served(place, golden="none.jsonl")) == "none.jsonl: cannot be read: No such file or directory"
    async with served(place, [wrong], golden=False) as server:
        assert server.composition.dataplane.ready()


async def test_a_model_that_streams_has_no_golden_rows(place: Path) -> None:
    line = "model.golden.jsonl row 1: the model streams, which rows cannot be checked against"
    assert await reason(served(place, [{"inputs": {"x": [1]}}], cls="Steps")) == line


@pytest.mark.parametrize(("warmup", "calls"), [(False, 1), (True, 2), ([{"instances": [[1, 2]]}] * 3, 4)])
async def test_warm_up_comes_before_the_first_request(place: Path, warmup: object, calls: int) -> None:
    async with served(place, warmup=warmup) as server:
        request = InferRequest("sum", [Tensor("x", np.zeros((1, 2), np.float32))])
        assert (await server.infer("grpc-raw", request))["calls"].tolist() == [calls]


async def test_rows_of_warm_up_that_fail_are_the_authors_mistake(place: Path) -> None:
    line = "warmup row 1: instances.shape: got [1, 1], expected [-1, 2]"
    assert await reason(served(place, warmup=[{"instances": [[1]]}])) == line


async def test_made_up_inputs_that_fail_are_not(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "modelserver")
    wrong = [{"name": "x", "datatype": "FP32", "shape": [-1, 0]}]
    async with served(place, warmup=True, inputs=wrong) as server:
        assert server.composition.dataplane.ready()
    assert "model sum: warm-up with made-up inputs was refused: no columns" in caplog.messages


async def test_a_mended_file_is_read_at_the_next_load(place: Path) -> None:
    async with served(place, [{**GOOD, "outputs": {"y": [0, 0]}}]) as server:
        dataplane = server.composition.dataplane
        with pytest.raises(ModelNotReady):
            await dataplane.load("sum")
        (place / "model.golden.jsonl").write_text(json.dumps(GOOD))
        await dataplane.load("sum")
        assert dataplane.ready()


async def test_the_old_model_serves_while_the_new_one_fails_its_rows(place: Path) -> None:
    async with served(place, [GOOD]) as server:
        dataplane = server.composition.dataplane
        (place / "model.golden.jsonl").write_text(json.dumps({**GOOD, "outputs": {"y": [0, 0]}}))
        with pytest.raises(ModelNotReady, match="row 1: y"):
            await dataplane.load("sum")
        assert dataplane.ready()
        assert (await answer(server, 1, 2))["y"] == [3.0]
