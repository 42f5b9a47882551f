"""TorchServe archives, made by torch-model-archiver itself: the handler's answers, and its contract."""

import base64
import io
import json
import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modelserver_pytorch.store import arguments_for

from modelserver import InferRequest, Tensor
from modelserver.testing import InMemoryServer, check_model
from tests.runtimes import nets
from tests.runtimes.nets import direct, loaded, save_script, seeded, unloaded

# The layout of TorchServe's MNIST example: a class, its weights, a handler that extends a default one.
DIGITS_PY = """
import torch
from torch import nn
import torch.nn.functional as F


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.last = nn.Linear(4 * 26 * 26, 10)

    def forward(self, x):
        return F.log_softmax(self.last(torch.flatten(F.relu(self.conv(x)), 1)), dim=1)
"""
DIGITS_HANDLER = '''
from ts.torch_handler.image_classifier import ImageClassifier
from ts.torch_handler.image_classifier import to_tensor


class DigitClassifier(ImageClassifier):
    """Answers the digit in a picture."""

    image_processing = staticmethod(to_tensor)

    def postprocess(self, data):
        return data.argmax(1).tolist()
'''

Archive = Callable[..., Path]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Write files, and let the archiver pack them."""

    def archive(handler: str, *, files: dict[str, str] | None = None, **options: str) -> Path:
        sources = tmp_path / "sources"
        sources.mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            (sources / name).write_text(text)
        command = [str(Path(sys.executable).with_name("torch-model-archiver")), "--model-name", "digits", "--force"]
        command += ["--version", "1.0", "--export-path", str(tmp_path), "--handler", handler]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", value]
        subprocess.run(command, cwd=sources, check=True, capture_output=True)
        return tmp_path / "digits.mar"

    (tmp_path / "sources").mkdir()
    return archive


@pytest.fixture
def digits(archive: Archive, tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    """The example's archive, and the same net outside of it."""
    space: dict[str, Any] = {"__name__": "digits_py"}
    exec(DIGITS_PY, space)
    net = seeded(space["Digits"])
    torch.save(net.state_dict(), tmp_path / "sources" / "digits.pt")
    path = archive(
        "digits_handler.py",
        files={"digits.py": DIGITS_PY, "digits_handler.py": DIGITS_HANDLER, "requirements.txt": "torch\ncaptumm==1\n"},
        model_file="digits.py",
        serialized_file="digits.pt",
        requirements_file="requirements.txt",
    )
    return path, net


IMAGES = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)


async def test_the_mnist_example_answers_as_its_handler_does(digits: tuple[Path, torch.nn.Module]) -> None:
    path, net = digits
    expected = direct(net, torch.from_numpy(IMAGES)).argmax(1).tolist()
    async with InMemoryServer(path) as server:
        body = {"instances": [{"data": image.tolist()} for image in IMAGES]}
        reply = await server.request("POST", "/v1/models/digits:predict", body)
        assert (reply.status, reply.json()) == (200, {"predictions": expected})
        for wire in ("v2-json", "v2-binary", "grpc", "grpc-raw"):
            answer = await server.infer(wire, InferRequest("digits", [Tensor("input-0", IMAGES[0])]))
            assert [(t.name, t.data.tolist()) for t in answer.outputs] == [("input-0", expected[:1])]


async def test_pictures_come_as_base64_and_as_bytes(digits: tuple[Path, torch.nn.Module]) -> None:
    image = pytest.importorskip("PIL.Image")
    path, net = digits
    picture = image.fromarray((IMAGES[0][0] * 255).astype(np.uint8))
    picture.save(stream := io.BytesIO(), "PNG")
    png, text = stream.getvalue(), base64.b64encode(stream.getvalue()).decode()
    pixels = torch.from_numpy(np.array(picture))[None, None].float() / 255
    expected = direct(net, pixels).argmax(1).tolist()
    async with InMemoryServer(path) as server:
        for instance in ({"data": text}, {"b64": text}, {"data": {"b64": text}}):
            reply = await server.request("POST", "/v1/models/digits:predict", {"instances": [instance]})
            assert (reply.status, reply.json()) == (200, {"predictions": expected})
        for data in (png, text.encode()):
            tensor = Tensor("image", np.array([data], object))
            answer = await server.infer("grpc-raw", InferRequest("digits", [tensor]))
            assert answer.outputs[0].data.tolist() == expected


async def test_what_is_no_picture_is_the_clients_mistake(digits: tuple[Path, torch.nn.Module]) -> None:
    path, _ = digits
    async with InMemoryServer(path) as server:
        for instances in ([{"data": "!!"}], [{"data": [["a"]]}], [{}], [], "x"):
            reply = await server.request("POST", "/v1/models/digits:predict", {"instances": instances})
            assert (reply.status, list(reply.json())) == (400, ["error"]), instances


async def test_the_archive_leaves_nothing_behind(digits: tuple[Path, torch.nn.Module]) -> None:
    before = list(sys.path), set(sys.modules)
    model = loaded(digits[0])
    assert "ts" in sys.modules
    model.unload()
    names = {name.partition(".")[0] for name in set(sys.modules) - before[1]}
    assert (sys.path, names & {"ts", "digits", "digits_handler"}) == (before[0], set())


def test_missing_requirements_are_reported(
    digits: tuple[Path, torch.nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "modelserver.pytorch"):
        loaded(digits[0]).unload()
    assert [record.getMessage() for record in caplog.records] == [
        "model m: requirements.txt asks for captumm==1, which must be installed beforehand"
    ]


async def test_two_archives_with_files_of_the_same_names(digits: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    path, _ = digits
    other = tmp_path / "other.mar"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(name, text.replace(b"argmax(1)", b"argmin(1)") if name == "digits_handler.py" else text)
    rows = [{"data": image.tolist()} for image in IMAGES]
    async with InMemoryServer([unloaded(path, "a"), unloaded(other, "b")]) as server:
        first = await server.request("POST", "/v1/models/a:predict", {"instances": rows})
        second = await server.request("POST", "/v1/models/b:predict", {"instances": rows})
        assert first.json() != second.json()
        await server.composition.dataplane.unload("b")
        again = await server.request("POST", "/v1/models/a:predict", {"instances": rows})
    assert again.json() == first.json()


# The default handlers.


async def test_the_base_handler_takes_tensors_as_they_are(archive: Archive, tmp_path: Path) -> None:
    net = seeded(nets.Net)
    save_script(tmp_path / "sources" / "net.pt", net)
    path = archive("base_handler", serialized_file="net.pt")
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    model = loaded(path)
    answer = model.predict(InferRequest("m", [Tensor("x", rows)])).outputs[0]
    assert np.allclose(answer.data, direct(net, torch.from_numpy(rows)).numpy())
    model.unload()
    await check_model(unloaded(path), [Tensor("x", rows)])


async def test_the_image_classifier_answers_labels(archive: Archive, tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 6)).eval()
    save_script(tmp_path / "sources" / "net.pt", net)
    labels = {str(index): [f"n{index}", f"label {index}"] for index in range(6)}
    path = archive(
        "image_classifier",
        files={"index_to_name.json": json.dumps(labels)},
        serialized_file="net.pt",
        extra_files="index_to_name.json",
    )
    pixels = torch.rand(3, 8, 8)
    async with InMemoryServer(path) as server:
        body = {"instances": [{"data": pixels.tolist()}]}
        reply = await server.request("POST", "/v1/models/digits:predict", body)
        [prediction] = reply.json()["predictions"]
        answer = await server.infer("v2-json", InferRequest("digits", [Tensor("image", pixels.numpy())]))
    probabilities = torch.softmax(direct(net, pixels[None]), 1)[0]
    best = probabilities.topk(5)
    assert list(prediction) == [f"label {index}" for index in best.indices.tolist()]
    assert np.allclose(list(prediction.values()), best.values)
    assert json.loads(answer.outputs[0].data[0]) == pytest.approx(prediction)


# A handler's own code.

FUNCTIONS = """
import os
from ts.context import Context
from ts.utils.util import PredictionException

loaded_from = None


def handle(data, context: Context):
    global loaded_from
    if data is None:
        loaded_from = context.system_properties["model_dir"]
        context.metrics.add_counter("loads", 1)
        return None
    row = data[0]
    value = row.get("data") or row.get("body")
    if value == "teapot":
        raise PredictionException("short and stout", 418)
    if value == "busy":
        context.set_response_status(503, "come back later")
    if value == "crash":
        raise KeyError("crash")
    context.set_response_header(0, "x-handler", "yes")
    text = value.decode() if isinstance(value, bytes) else value
    answer = {
        "text": text,
        "model": context.model_name,
        "config": context.model_yaml_config["greeting"],
        "files": sorted(set(os.listdir(loaded_from)) - {"__pycache__"}),
        "id": context.get_request_id(0),
        "agent": context.get_request_header(0, "User-Agent"),
    }
    return [answer] * len(data)
"""


@pytest.fixture
def functions(archive: Archive) -> Path:
    files = {"functions.py": FUNCTIONS, "config.yaml": "greeting: hello\n", "extra.txt": "more"}
    return archive("functions.py", files=files, extra_files="extra.txt", config_file="config.yaml")


async def test_a_function_is_a_handler_and_knows_its_context(functions: Path) -> None:
    async with InMemoryServer(functions) as server:
        headers = {"user-agent": "me", "x-request-id": "r1"}
        body = {"instances": [{"data": "one"}, {"data": "two"}]}
        reply = await server.request("POST", "/v1/models/digits:predict", body, headers)
        raw = await server.request("POST", "/v1/models/digits:predict", b"raw", {"content-type": "text/plain"})
    first, second = reply.json()["predictions"]
    assert (
        first
        == second
        == {
            "text": "one",
            "model": "digits",
            "config": "hello",
            "files": ["MAR-INF", "config.yaml", "extra.txt", "functions.py"],
            "id": "r1",
            "agent": "me",
        }
    )
    assert reply.headers["x-handler"] == "yes"
    assert raw.json()["predictions"][0]["text"] == "raw"


async def test_text_of_v2_reaches_the_handler_and_its_object_comes_back_as_json(functions: Path) -> None:
    async with InMemoryServer(functions) as server:
        for wire in ("v2-json", "v2-binary", "grpc", "grpc-raw"):
            tensor = Tensor("text", np.array(["one"]))
            answer = await server.infer(wire, InferRequest("digits", [tensor]))
            [output] = answer.outputs
            assert (output.name, output.datatype, json.loads(output.data[0])["text"]) == ("text", "BYTES", "one")


@pytest.mark.parametrize(
    ("text", "status", "error"),
    [("teapot", 418, "short and stout"), ("busy", 503, "come back later"), ("crash", 500, "KeyError in predict")],
)
async def test_a_handlers_errors_keep_their_status(functions: Path, text: str, status: int, error: str) -> None:
    async with InMemoryServer(functions) as server:
        reply = await server.request("POST", "/v1/models/digits:predict", {"instances": [{"data": text}]})
    assert (reply.status, reply.json()["error"].startswith(error)) == (status, True)


EXPLAINS = """
from ts.torch_handler.base_handler import BaseHandler
from ts.handler_utils.timer import timed


class Handler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    @timed
    def preprocess(self, data):
        return data

    def inference(self, data):
        return data

    def postprocess(self, data):
        return [len(row["data"]) for row in data]

    def get_insights(self, tensor_data, raw_data, target=0):
        return [{"raw": raw_data, "target": target}]
"""


async def test_a_handler_that_explains(archive: Archive) -> None:
    path = archive("explains.py", files={"explains.py": EXPLAINS})
    async with InMemoryServer(path) as server:
        body = {"instances": [{"data": "abc", "target": 2}]}
        prediction = await server.request("POST", "/v1/models/digits:predict", body)
        explanation = await server.request("POST", "/v1/models/digits:explain", body)
    assert prediction.json() == {"predictions": [3]}
    assert explanation.json() == {"explanations": [{"raw": "abc", "target": 2}]}


async def test_a_handler_that_cannot_explain_says_so(digits: tuple[Path, torch.nn.Module]) -> None:
    async with InMemoryServer(digits[0]) as server:
        body = {"instances": [{"data": IMAGES[0].tolist()}]}
        reply = await server.request("POST", "/v1/models/digits:explain", body)
    assert (reply.status, reply.json()) == (501, {"error": "explanations of images need captum"})


# What cannot be served.

BROKEN = {
    "no class": ("x = 1\n", r"h\.py: expected a function handle or one class with a method handle, got none"),
    "two classes": (
        "class A:\n    def handle(self, d, c): ...\nclass B:\n    def handle(self, d, c): ...\n",
        "got A, B",
    ),
    "torchvision": (
        "from torchvision_of_nobody import x\n",
        "h.py: ModuleNotFoundError: No module named 'torchvision_",
    ),
    "a mistake": ("def handle(:\n", "h.py: SyntaxError"),
    "not initialized": (
        "class A:\n    def initialize(self, c): raise OSError('no weights')\n    def handle(self, d, c): ...\n",
        "h.py: OSError: no weights",
    ),
}


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_handler_that_cannot_be_used_is_said(archive: Archive, source: str, reason: str) -> None:
    path = archive("h.py", files={"h.py": source})
    with pytest.raises(ValueError, match=reason) as failure:
        loaded(path)
    assert "\n" not in str(failure.value)
    assert "ts" not in sys.modules


def test_a_default_handler_that_is_not_here_is_said(archive: Archive) -> None:
    with pytest.raises(
        ValueError, match="handler text_classifier: no such file in the archive, and of TorchServe's own"
    ):
        loaded(archive("text_classifier"))


MANIFESTS = {
    "no JSON": ("{", "m.mar: MAR-INF/MANIFEST.json: "),
    "no model": ("{}", "expected an object with model"),
    "no handler": ('{"model": {}}', "model.handler: expected the name of a file"),
    "no file": ('{"model": {"handler": "h.py", "serializedFile": "w.pt"}}', "names w.pt as serializedFile"),
}


@pytest.mark.parametrize(("manifest", "reason"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_is_wrong_is_said(tmp_path: Path, manifest: str, reason: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as file:
        file.writestr("MAR-INF/MANIFEST.json", manifest)
    with pytest.raises(ValueError, match=reason):
        loaded(tmp_path / "m.mar")


@pytest.mark.parametrize("name", ["../outside.py", "/outside.py"])
def test_a_file_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as file:
        file.writestr("MAR-INF/MANIFEST.json", '{"model": {"handler": "h.py"}}')
        file.writestr(name, "")
    with pytest.raises(ValueError, match="would lie outside"):
        loaded(tmp_path / "m.mar")
    assert not (tmp_path / "outside.py").exists()


# TorchServe's directories.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--model_dir={0}"], ["--model_dir={1}", "--model-name=digits"]),
        (["--model-dir", "{0}", "--workers=2"], ["--model-dir", "{1}", "--workers=2", "--model-name=digits"]),
        (["--model_name=mnist", "--model_dir", "{0}"], ["--model_name=mnist", "--model_dir", "{1}"]),
        (["--http_port=80"], ["--http_port=80"]),
    ],
)
def test_the_archive_in_a_model_store_is_found(tmp_path: Path, given: list[str], expected: list[str]) -> None:
    (tmp_path / "config").mkdir()
    store = tmp_path / "model-store"
    store.mkdir()
    archive = store / "digits.mar"
    archive.touch()
    fill = [[each.format(tmp_path, archive) for each in words] for words in (given, expected)]
    assert arguments_for(fill[0]) == fill[1]
    (store / "second.mar").touch()
    assert arguments_for(fill[0]) == fill[0]
