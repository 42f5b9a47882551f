"""Files that the PyTorch runtime cannot serve: each has its reason, in one line, and nobody's code is run for it."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from modelserver_pytorch.contents import Form, form_of
from safetensors.torch import save_file

from modelserver.testing import InMemoryServer
from tests.runtimes import nets
from tests.runtimes.nets import loaded, save_export, save_script, seeded, unloaded


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that are all right."""
    path = tmp_path_factory.mktemp("whole")
    net = seeded(nets.Net)
    save_export(path / "exported.pt2", net, (torch.ones(2, 4),))
    save_script(path / "script.pt", net)
    torch.save(net.state_dict(), path / "weights.pth")
    torch.save(net.state_dict(), path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(net.state_dict(), path / "weights.safetensors")
    (path / "model.py").write_text(nets.MODEL_PY)
    return path


FILES = ("exported.pt2", "script.pt", "weights.pth", "legacy.pth", "weights.safetensors")


@pytest.mark.parametrize("file", FILES)
def test_the_form_is_told_by_the_bytes_whatever_the_name(whole: Path, tmp_path: Path, file: str) -> None:
    form = form_of(whole / file)
    (tmp_path / "model.bin").write_bytes((whole / file).read_bytes())
    assert form_of(tmp_path / "model.bin") is form
    assert form is {
        "exported.pt2": Form.EXPORTED,
        "script.pt": Form.SCRIPT,
        "weights.safetensors": Form.SAFETENSORS,
    }.get(file, Form.WEIGHTS)


def test_weights_of_torch_before_1_6_are_read(whole: Path) -> None:
    assert loaded(whole / "legacy.pth").name == "m"


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    (path.parent / "model.py").write_text(nets.MODEL_PY)
    return path


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "its end": lambda data: data[:-40],
    "its beginning": lambda data: data[:100],
    "other bytes": lambda data: b"\x00\x01" * 500,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_has_a_reason_in_one_line(
    whole: Path, tmp_path: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    path = put(tmp_path / file, damage((whole / file).read_bytes()))
    with pytest.raises(ValueError, match=path.name) as failure:
        loaded(path)
    assert "\n" not in str(failure.value)
    assert "/" not in str(failure.value).replace("MAR-INF/MANIFEST.json", "")


CONTENTS: dict[str, tuple[str, bytes, str]] = {
    "text": ("m.pt", b"hello there", "m.pt is text, not a model of PyTorch's"),
    "an error page": ("m.pt2", b"<html>404</html>", "m.pt2 is HTML, XML or JSON"),
    "a Git LFS pointer": ("m.pt", b"version https://git-lfs.github.com/spec/v1\n", "m.pt is a Git LFS pointer"),
    "Keras": ("m.pth", b"\x89HDF\r\n\x1a\n" + bytes(100), "m.pth is HDF5"),
    "gzip": ("m.pt", b"\x1f\x8b" + bytes(100), "m.pt is gzip"),
    "a pickled list": (
        "m.pth",
        pickle.dumps([1, 2]),
        "m.pth holds more than weights: something that is damaged, or code",
    ),
    "a pickled class": ("m.pth", pickle.dumps(Path), "m.pth"),
    "no safetensors": ("m.safetensors", b"\x80\x02}.", "m.safetensors is damaged or something else"),
    "a header of lies": ("m.safetensors", (20).to_bytes(8, "little") + b"{" + bytes(30), "m.safetensors"),
}


@pytest.mark.parametrize(("name", "content", "reason"), CONTENTS.values(), ids=CONTENTS)
def test_what_is_no_model_is_said(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        loaded(put(tmp_path / name, content))


def test_a_zip_file_of_something_else_is_said(tmp_path: Path) -> None:
    for name, reason in (("m.pt", "not one of PyTorch's"), ("m.mar", "not made by torch-model-archiver")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme.txt", "hello")
        with pytest.raises(ValueError, match=reason):
            loaded(tmp_path / name)


def test_a_whole_pickled_model_is_not_unpickled(tmp_path: Path) -> None:
    torch.save(nets.Net(), tmp_path / "model.pt")
    (tmp_path / "model.py").write_text(nets.MODEL_PY)
    with pytest.raises(
        ValueError, match=r"model\.pt holds more than weights: .*Net, which is code\. Save model\.state"
    ):
        loaded(tmp_path / "model.pt")


def weights_beside(path: Path, source: str | None, weights: Any = None, name: str = "model.py") -> Path:
    torch.save(seeded(nets.Net).state_dict() if weights is None else weights, path / "net.pt")
    if source is not None:
        (path / name).write_text(source)
    return path / "net.pt"


RENAMED = nets.MODEL_PY.replace("Net", "PyTorchModel")
BESIDE = {
    "no file": (None, "net.pt holds weights alone: expected a .py file beside it with the model's class"),
    "no class": ("import torch\n", "model.py has no model class PyTorchModel, it has none: --model_class_name"),
    "two classes": (nets.MODEL_PY + nets.MODEL_PY.replace("Net", "Other"), "it has Net, Other"),
    "a mistake": ("import torch\nclass Net(torch.nn.Module:\n", r"model.py: SyntaxError: "),
    "a package that is not there": (
        "import torchvisionary\n",
        "model.py: ModuleNotFoundError: No module named 'torchv",
    ),
    "another net": (
        nets.MODEL_PY.replace("Linear(8, 3)", "Linear(8, 7)"),
        r"net.pt does not fit Net: Error\(s\) in loading state_dict for Net: size mismatch for last.weight",
    ),
}


@pytest.mark.parametrize(("source", "reason"), BESIDE.values(), ids=BESIDE)
def test_a_class_that_does_not_fit_is_said(tmp_path: Path, source: str | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as failure:
        loaded(weights_beside(tmp_path, source))
    assert "\n" not in str(failure.value)


def test_kserves_name_of_the_class_is_found_among_several(tmp_path: Path) -> None:
    assert loaded(weights_beside(tmp_path, nets.MODEL_PY.replace("Net", "Other") + RENAMED, name="nets.py"))


def test_the_class_can_be_named(tmp_path: Path) -> None:
    path = weights_beside(tmp_path, nets.MODEL_PY + RENAMED.replace("8, 3", "8, 7"))
    assert loaded(path, model_class_name="Net")
    with pytest.raises(ValueError, match=r"no model class Nett, it has Net, PyTorchModel"):
        loaded(path, model_class_name="Nett")


def test_several_files_without_a_model_py_are_said(tmp_path: Path) -> None:
    (tmp_path / "other.py").touch()
    with pytest.raises(
        ValueError, match=r"expected model\.py or exactly one \.py file beside net\.pt, got nets\.py, other"
    ):
        loaded(weights_beside(tmp_path, nets.MODEL_PY, name="nets.py"))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_weights_in_a_checkpoint_are_found(tmp_path: Path, key: str) -> None:
    weights = {f"module.{name}": value for name, value in seeded(nets.Net).state_dict().items()}
    assert loaded(weights_beside(tmp_path, nets.MODEL_PY, {key: weights, "epoch": 3}))


def test_versions_with_files_of_the_same_name_keep_their_own(tmp_path: Path) -> None:
    models = []
    for version, factor in (("1", "1"), ("2", "100")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "layers.py").write_text(f"FACTOR = {factor}\n")
        source = "from layers import FACTOR\n" + nets.MODEL_PY.replace("self.hidden(x)", "self.hidden(x) * FACTOR")
        models.append(loaded(weights_beside(tmp_path / version, source)))
    ones = nets.request(x=torch.ones(1, 4).numpy())
    first, second = (model.predict(ones)["output-0"] for model in models)
    assert abs(second).max() > 10 * abs(first).max()
    for model in models:
        model.unload()


async def test_the_reason_is_in_the_index_and_nothing_of_it_is_a_path(whole: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "exported.pt2", (whole / "exported.pt2").read_bytes()[:-100])
    async with InMemoryServer(path) as server:
        assert not server.composition.dataplane.ready()
        [entry] = server.composition.dataplane.index()
    assert (entry.state, str(tmp_path) in entry.reason) == ("UNAVAILABLE", False)
    assert "exported.pt2" in entry.reason


async def test_a_model_that_cannot_be_loaded_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"")
    async with InMemoryServer([unloaded(tmp_path / "m.pt")]) as server:
        assert server.composition.dataplane.index()[0].reason == "ValueError: m.pt is empty"
