"""The PyTorch runtime over the forms that models come in: what it declares, and that it answers as the model does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from modelserver_pytorch import PyTorchModel
from safetensors.torch import save_file
from torch.export import Dim

from modelserver import BatchSettings, InferRequest, InvalidInput, Tensor, TensorMetadata
from modelserver.testing import InMemoryServer, check_model
from tests.runtimes import nets
from tests.runtimes.nets import direct, loaded, request, save_export, save_script, seeded, unloaded

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
IMAGES = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8) % 7 / 8


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models, each saved once."""
    path = tmp_path_factory.mktemp("pytorch")
    net, conv = seeded(nets.Net), seeded(nets.Conv)
    example = torch.ones(2, 4)
    save_export(path / "net.pt2", net, (example,), dynamic_shapes={"x": {0: nets.BATCH}})
    save_export(path / "fixed.pt2", net, (example,))
    save_export(path / "conv.pt2", conv, (torch.ones(2, 3, 8, 8),), dynamic_shapes={"image": {0: Dim("batch")}})
    inputs = ({"ids": torch.ones(2, 5, dtype=torch.int32), "weights": torch.ones(2, 1)}, torch.ones(2, 1))
    rows = {0: nets.BATCH}
    shapes = {"batch": {"ids": rows | {1: Dim("length")}, "weights": rows}, "scale": rows}
    save_export(path / "nested.pt2", seeded(nets.Nested), inputs, dynamic_shapes=shapes)
    save_script(path / "scripted.pt", net)
    save_script(path / "traced.pth", conv, torch.ones(2, 3, 8, 8))
    for name in ("weights", "safe"):
        (path / name).mkdir()
        (path / name / "model.py").write_text(nets.MODEL_PY)
    torch.save(net.state_dict(), path / "weights" / "net.pt")
    save_file(net.state_dict(), path / "safe" / "net.safetensors")
    return path


FORMS: dict[str, tuple[str, type[torch.nn.Module], np.ndarray]] = {
    "exported": ("net.pt2", nets.Net, ROWS),
    "exported, fixed sizes": ("fixed.pt2", nets.Net, ROWS[:2]),
    "exported convolutions": ("conv.pt2", nets.Conv, IMAGES),
    "scripted": ("scripted.pt", nets.Net, ROWS),
    "traced": ("traced.pth", nets.Conv, IMAGES),
    "weights": ("weights/net.pt", nets.Net, ROWS),
    "safetensors": ("safe/net.safetensors", nets.Net, ROWS),
}


@pytest.mark.parametrize(("file", "net", "array"), FORMS.values(), ids=FORMS)
async def test_each_form_answers_alike_on_every_wire(
    files: Path, file: str, net: type[torch.nn.Module], array: np.ndarray
) -> None:
    name = "image" if array.ndim == 4 else "x"
    await check_model(unloaded(files / file), [Tensor(name, array)])


@pytest.mark.parametrize(("file", "net", "array"), FORMS.values(), ids=FORMS)
def test_each_form_gives_the_bits_of_a_direct_call(
    files: Path, file: str, net: type[torch.nn.Module], array: np.ndarray
) -> None:
    model = loaded(files / file)
    name = model.inputs[0].name if model.inputs else "x" if array.ndim == 2 else "image"
    answer = model.predict(request(**{name: array}))
    assert list(answer) == ["output-0"]
    assert answer["output-0"].tobytes() == direct(seeded(net), torch.from_numpy(array.copy())).numpy().tobytes()


# What it declares.


def test_an_export_declares_what_it_takes_and_gives(files: Path) -> None:
    model = loaded(files / "net.pt2")
    assert list(model.inputs) == [TensorMetadata("x", "FP32", [-1, 4])]
    assert list(model.outputs) == [TensorMetadata("output-0", "FP32", [-1, 3])]
    assert model.batching == BatchSettings(max_batch_size=64)
    assert model.input_check == "exact"


def test_an_export_of_fixed_sizes_is_not_batched(files: Path) -> None:
    model = loaded(files / "fixed.pt2")
    assert list(model.inputs) == [TensorMetadata("x", "FP32", [2, 4])]
    assert model.batching is None


def test_nested_inputs_and_outputs_are_called_by_their_paths(files: Path) -> None:
    model = loaded(files / "nested.pt2")
    assert list(model.inputs) == [
        TensorMetadata("batch.ids", "INT32", [-1, -1]),
        TensorMetadata("batch.weights", "FP32", [-1, 1]),
        TensorMetadata("scale", "FP32", [-1, 1]),
    ]
    assert list(model.outputs) == [
        TensorMetadata("scores", "FP32", [-1, 2]),
        TensorMetadata("more.0", "INT64", [-1]),
        TensorMetadata("more.1.0", "BF16", [-1, 2]),
    ]


async def test_nested_inputs_and_outputs_on_every_wire(files: Path) -> None:
    ids, ones = np.ones((3, 4), np.int32), np.ones((3, 1), np.float32)
    inputs = [Tensor("scale", ones * 2), Tensor("batch.weights", ones), Tensor("batch.ids", ids)]
    await check_model(unloaded(files / "nested.pt2"), inputs)
    answer = loaded(files / "nested.pt2").predict(InferRequest("m", inputs))
    arguments = {"ids": torch.from_numpy(ids), "weights": torch.ones(3, 1)}
    expected = direct(seeded(nets.Nested), arguments, torch.full((3, 1), 2.0))
    assert answer["scores"].tobytes() == expected["scores"].numpy().tobytes()
    assert answer["more.1.0"].dtype == ml_dtypes.bfloat16
    assert answer["more.1.0"].astype(np.float32).tolist() == expected["more"][1][0].float().tolist()


def test_torchscript_declares_nothing(files: Path) -> None:
    model = loaded(files / "scripted.pt")
    assert (list(model.inputs), list(model.outputs), model.batching) == ([], [], None)


def test_what_was_written_down_for_a_model_stands(files: Path) -> None:
    model = unloaded(files / "net.pt2")
    model.outputs = [TensorMetadata("scores", "FP32", [-1, 3])]
    model.batching = None
    for _ in range(2):
        model.load()
        assert ([m.name for m in model.inputs], [m.name for m in model.outputs]) == (["x"], ["scores"])
        assert model.batching is None
        model.unload()
        assert list(model.inputs) == []


class AllTypes(torch.nn.Module):
    def forward(self, **values: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in values.items()}


DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
}


async def test_every_datatype_comes_and_goes(tmp_path: Path) -> None:
    arrays = {name: np.array([[0, 1], [1, 0]]).astype(dtype) for name, dtype in DTYPES.items()}
    from modelserver_pytorch.tensors import tensor_of

    tensors = {name: tensor_of(array) for name, array in arrays.items()}
    path = save_export(tmp_path / "all.pt2", AllTypes(), (), kwargs=tensors)
    model = loaded(path)
    assert [(m.name, m.datatype) for m in model.inputs] == [(name, name) for name in DTYPES]
    answer = model.predict(request(**arrays))
    assert {name: (array.dtype, array.tolist()) for name, array in answer.items()} == {
        name: (array.dtype, array.tolist()) for name, array in arrays.items()
    }
    await check_model(unloaded(path), [Tensor(name, array) for name, array in arrays.items()])


# No copies.


class View(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, 2)


@pytest.fixture(params=["exported", "scripted"])
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A model whose output is its input's memory."""
    if request.param == "exported":
        dynamic = {"x": {0: Dim("rows")}}
        yield loaded(save_export(tmp_path / "view.pt2", View(), (torch.ones(3, 2),), dynamic_shapes=dynamic))
    else:
        yield loaded(save_script(tmp_path / "view.pt", View()))


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_from_the_wire_to_torch_and_back_nothing_is_copied(view: Any, dtype: Any) -> None:
    if view.inputs and dtype is not np.float32:
        pytest.skip("exported for FP32")
    body = np.ones(6, dtype).tobytes()
    tensor = Tensor.from_buffer("x", "FP32" if dtype is np.float32 else "BF16", [3, 2], body)
    for _ in range(2):  # the first call with a shape goes another way than the later ones
        answer = view.predict(InferRequest("m", [tensor]))["output-0"]
        assert answer.ctypes.data == np.frombuffer(body, np.uint8).ctypes.data


async def test_the_body_of_a_rest_request_is_the_tensors_memory(tmp_path: Path) -> None:
    places = []

    class Probe(PyTorchModel):
        def predict(self, request: InferRequest) -> Any:
            answer = super().predict(request)
            places.append(answer["output-0"].ctypes.data)
            return answer

    model = Probe("m")
    model.path = save_export(tmp_path / "view.pt2", View(), (torch.ones(3, 2),))
    entry = {"name": "x", "datatype": "FP32", "shape": [3, 2], "parameters": {"binary_data_size": 24}}
    head = json.dumps({"inputs": [entry]}).encode()
    head += b" " * (-len(head) % 16)  # else the tensor would not begin at a multiple of 16
    body = head + np.arange(6, dtype=np.float32).tobytes()
    async with InMemoryServer([model]) as server:
        headers = {"inference-header-content-length": str(len(head))}
        reply = await server.request("POST", "/v2/models/m/infer", body, headers)
    assert reply.json()["outputs"][0]["data"] == [0, 1, 2, 3, 4, 5]
    assert places[-1] == np.frombuffer(body, np.uint8).ctypes.data + len(head)


@pytest.mark.parametrize("offset", [1, 4, 8])
def test_memory_that_does_not_begin_at_a_multiple_of_16_is_copied(view: Any, offset: int) -> None:
    body = bytes(offset) + np.ones(6, np.float32).tobytes()
    tensor = Tensor.from_buffer("x", "FP32", [3, 2], memoryview(body)[offset:])
    answer = view.predict(InferRequest("m", [tensor]))["output-0"]
    assert (answer.ctypes.data % 16, answer.tolist()) == (0, [[1.0, 1.0]] * 3)


def test_the_answer_does_not_depend_on_where_the_request_lies(files: Path) -> None:
    model = loaded(files / "net.pt2")
    answers = set()
    for offset in range(0, 32, 4):
        body = bytes(offset) + ROWS.tobytes()
        tensor = Tensor.from_buffer("x", "FP32", [3, 4], memoryview(body)[offset:])
        answers.add(model.predict(InferRequest("m", [tensor]))["output-0"].tobytes())
    assert len(answers) == 1


@pytest.mark.parametrize("form", ["exported", "scripted", "weights"])
def test_a_model_that_writes_to_its_input_gets_its_own_copy(tmp_path: Path, form: str) -> None:
    if form == "exported":
        path = save_export(tmp_path / "greedy.pt2", nets.Greedy(), (torch.ones(1),))
    elif form == "scripted":
        path = save_script(tmp_path / "greedy.pt", nets.Greedy())
    else:
        path = tmp_path / "greedy.pth"
        torch.save({}, path)
        (tmp_path / "model.py").write_text(
            "import torch\nclass Greedy(torch.nn.Module):\n    def forward(self, x):\n        return x.add_(1) * 2\n"
        )
    model = loaded(path)
    body = np.ones(1, np.float32).tobytes()
    for _ in range(3):
        answer = model.predict(InferRequest("m", [Tensor.from_buffer("x", "FP32", [1], body)]))
        assert answer["output-0"].tolist() == [4.0]
    assert body == np.ones(1, np.float32).tobytes()


def test_a_convolution_net_that_writes_in_place_to_its_own_values_needs_no_copy(files: Path) -> None:
    from modelserver_pytorch.export import read_program, written_placeholders

    assert written_placeholders(read_program(files / "conv.pt2")) == frozenset()


def test_a_model_that_writes_to_itself_answers_one_request_at_a_time(tmp_path: Path) -> None:
    model = loaded(save_export(tmp_path / "counter.pt2", seeded(nets.Counter), (torch.ones(2),)))
    zeros = np.zeros(2, np.float32)
    before = model.predict(request(x=zeros))["output-0"][0]
    assert [model.predict(request(x=zeros))["output-0"][0] - before for _ in range(3)] == [2.0, 4.0, 6.0]


# What it takes and refuses.


def test_sizes_out_of_the_exported_range_are_refused(files: Path) -> None:
    with pytest.raises(InvalidInput, match=r"inputs\['x'\]\.shape: got \[65, 4\], expected at most 64 on axis 0"):
        loaded(files / "net.pt2").predict(request(x=np.zeros((65, 4), np.float32)))


def test_sizes_that_do_not_fit_to_each_other_are_refused(files: Path) -> None:
    ids, weights, scale = np.ones((3, 4), np.int32), np.ones((2, 1), np.float32), np.ones((3, 1), np.float32)
    with pytest.raises(
        InvalidInput,
        match=r"inputs\['batch\.weights'\]\.shape: got \[2, 1\], expected 3 on axis 0: the same as axis 0 of 'batch",
    ):
        loaded(files / "nested.pt2").predict(request(batch__ids=ids, batch__weights=weights, scale=scale))


def test_an_index_out_of_its_table_is_the_clients_mistake(files: Path) -> None:
    model = loaded(files / "nested.pt2")
    ones = np.ones((2, 1), np.float32)
    for _ in range(2):
        with pytest.raises(InvalidInput, match="index out of range"):
            model.predict(request(batch__ids=np.full((2, 5), 99, np.int32), batch__weights=ones, scale=ones))


class Halves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0] // 2, 2, -1).sum(1)


def test_sizes_that_only_the_programs_own_guards_know_are_refused(tmp_path: Path) -> None:
    path = save_export(tmp_path / "halves.pt2", Halves(), (torch.ones(6, 2),), dynamic_shapes={"x": {0: Dim.AUTO}})
    model = loaded(path)
    assert model.predict(request(x=np.ones((8, 2), np.float32)))["output-0"].shape == (4, 2)
    with pytest.raises(InvalidInput, match="Guard failed"):
        model.predict(request(x=np.ones((7, 2), np.float32)))


class Options(torch.nn.Module):
    def forward(self, x: torch.Tensor, times: int = 3, *, mask: torch.Tensor) -> Any:
        return x * times * mask, x.shape[0], 7


def test_constants_stay_in_their_places_and_numbers_are_outputs(tmp_path: Path) -> None:
    dynamic = {"x": {0: Dim("rows")}, "times": None, "mask": None}
    example = (torch.ones(2, 2), 5)
    path = save_export(tmp_path / "o.pt2", Options(), example, kwargs={"mask": torch.ones(2)}, dynamic_shapes=dynamic)
    model = loaded(path)
    assert [m.name for m in model.inputs] == ["x", "mask"]
    answer = model.predict(request(mask=np.array([1, 2], np.float32), x=np.ones((3, 2), np.float32)))
    assert {name: array.tolist() for name, array in answer.items()} == {
        "output-0": [[5.0, 10.0]] * 3,
        "output-1": [3],
        "output-2": [7],
    }


@pytest.mark.parametrize("name", ["x", "input-0", "anything"])
@pytest.mark.parametrize("file", ["scripted.pt", "weights/net.pt"])
def test_a_lone_input_may_have_any_name_where_nothing_is_declared(files: Path, file: str, name: str) -> None:
    assert loaded(files / file).predict(request(**{name: ROWS}))["output-0"].shape == (3, 3)


@pytest.mark.parametrize("instances", [[[1, 2, 3, 4]], [[1.0, 2, 3, 4]], [{"x": [1, 2, 3, 4]}]])
@pytest.mark.parametrize("file", ["scripted.pt", "weights/net.pt", "net.pt2"])
async def test_numbers_of_json_are_what_the_model_computes_with(files: Path, file: str, instances: Any) -> None:
    expected = direct(seeded(nets.Net), torch.tensor([[1.0, 2, 3, 4]])).tolist()
    async with InMemoryServer([unloaded(files / file)]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", {"instances": instances})
    assert (reply.status, np.allclose(reply.json()["predictions"], expected)) == (200, True)


@pytest.mark.parametrize("file", ["scripted.pt", "weights/net.pt"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": ROWS[:, :3]}, "mat1 and mat2 shapes cannot be multiplied"),
        ({"x": ROWS, "y": ROWS}, "inputs: got 'y', expected 'x'"),
        ({"x": np.array([b"text"], object)}, r"inputs\['x'\]\.datatype: got BYTES, expected numbers"),
    ],
)
def test_what_the_model_cannot_take_is_the_clients_mistake(files: Path, file: str, arrays: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        loaded(files / file).predict(request(**arrays))


def test_the_device_can_be_named(files: Path) -> None:
    assert loaded(files / "net.pt2", device="cpu").predict(request(x=ROWS))["output-0"].shape == (3, 3)
    with pytest.raises(ValueError, match=r"device: got 'tpu', expected auto, cpu, cuda or cuda:N"):
        loaded(files / "net.pt2", device="tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_said(files: Path) -> None:
    with pytest.raises(ValueError, match="device: got 'cuda:3', but torch sees 0 CUDA devices"):
        loaded(files / "net.pt2", device="cuda:3")


def test_torch_uses_this_workers_share_of_the_cpus(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("MODELSERVER_WORKERS", "1000")
    try:
        loaded(files / "net.pt2")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
