"""AOTInductor packages: with the program they were compiled from, with their C++ source alone, and with neither."""

import os
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.export import Dim, ExportedProgram

from modelserver import BatchSettings, InvalidInput, Tensor, TensorMetadata
from modelserver.testing import check_model
from tests.runtimes.nets import loaded, request, unloaded

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="making a package needs a C++ compiler")

X, Y = np.arange(12, dtype=np.float32).reshape(3, 4), np.array([1, 2, 3], np.float32)
EXPECTED = {"sum": (X + Y[:, None]).tolist(), "top": X.max(1).tolist()}


class Sums(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": x + y.unsqueeze(1), "top": x.amax(1)}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compilation, in three packages. (The compiler's cache makes the next run quick.)"""
    from torch.export.pt2_archive._package import package_pt2

    path = tmp_path_factory.mktemp("compiled")
    rows = {0: Dim("rows", min=1, max=16)}
    with warnings.catch_warnings(action="ignore"):
        program: ExportedProgram = torch.export.export(
            Sums(), (torch.ones(2, 4), torch.ones(2)), dynamic_shapes={"x": rows, "y": rows}
        )
        torch._inductor.aoti_compile_and_package(program, package_path=str(path / "bare.pt2"))
        with zipfile.ZipFile(path / "bare.pt2") as bare:
            inside = [name for name in bare.namelist() if "/data/aotinductor/" in name]
            bare.extractall(path / "files", inside)
        files = [str(path / "files" / name) for name in inside]
        package_pt2(path / "both.pt2", exported_programs={"model": program}, aoti_files={"model": files})
        mute = [name for name in files if not name.endswith(".cpp")]
        package_pt2(path / "mute.pt2", aoti_files={"model": mute})
    return path


def test_the_program_in_the_package_tells_what_it_takes(packages: Path) -> None:
    model = loaded(packages / "both.pt2")
    assert list(model.inputs) == [TensorMetadata("x", "FP32", [-1, 4]), TensorMetadata("y", "FP32", [-1])]
    assert list(model.outputs) == [TensorMetadata("sum", "FP32", [-1, 4]), TensorMetadata("top", "FP32", [-1])]
    assert model.batching == BatchSettings(max_batch_size=16)
    answer = model.predict(request(y=Y, x=X))
    assert {name: array.tolist() for name, array in answer.items()} == EXPECTED


def test_the_source_in_the_package_tells_all_but_the_names(packages: Path) -> None:
    model = loaded(packages / "bare.pt2")
    assert list(model.inputs) == [TensorMetadata("input-0", "FP32", [-1, 4]), TensorMetadata("input-1", "FP32", [-1])]
    assert list(model.outputs) == [TensorMetadata("sum", "FP32", [-1, 4]), TensorMetadata("top", "FP32", [-1])]
    assert model.batching == BatchSettings(max_batch_size=16)
    assert "AOTI_RUNTIME_CHECK_INPUTS" not in os.environ


@pytest.mark.parametrize(("file", "names"), [("both.pt2", ("x", "y")), ("bare.pt2", ("input-0", "input-1"))])
async def test_packages_answer_alike_on_every_wire(packages: Path, file: str, names: tuple[str, str]) -> None:
    await check_model(unloaded(packages / file), [Tensor(names[0], X), Tensor(names[1], Y)])


@pytest.mark.parametrize(("file", "names"), [("both.pt2", ("x", "y")), ("bare.pt2", ("input-0", "input-1"))])
def test_batches_of_one_are_answered_and_wrong_sizes_never_reach_the_code(
    packages: Path, file: str, names: tuple[str, str]
) -> None:
    model = loaded(packages / file)
    x, y = names
    answer = model.predict(request(**{x: X[:1], y: Y[:1]}))
    assert answer["sum"].tolist() == EXPECTED["sum"][:1]
    with pytest.raises(InvalidInput, match=rf"inputs\['{y}'\]\.shape: got \[2\], expected 3 on axis 0"):
        model.predict(request(**{x: X, y: Y[:2]}))
    with pytest.raises(InvalidInput, match="expected at most 16 on axis 0"):
        model.predict(request(**{x: np.zeros((17, 4), np.float32), y: np.zeros(17, np.float32)}))


def test_without_either_torch_itself_checks(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOTI_RUNTIME_CHECK_INPUTS", "")  # so that it is put back
    model = loaded(packages / "mute.pt2")
    assert os.environ["AOTI_RUNTIME_CHECK_INPUTS"] == "1"
    assert list(model.inputs) == []
    answer = model.predict(request(**{"input-0": X, "input-1": Y}))
    assert {name: array.tolist() for name, array in answer.items()} == EXPECTED
    with pytest.raises(InvalidInput, match="unmatched dim value at 1, expected: 4, but got: 3"):
        model.predict(request(**{"input-0": X[:, :3], "input-1": Y}))
