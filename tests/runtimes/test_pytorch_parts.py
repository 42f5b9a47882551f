"""Parts of the PyTorch runtime: which graphs write to their inputs, channels-last weights, names of values."""

import warnings
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from modelserver_pytorch import layout
from modelserver_pytorch.binding import DICT, LIST, NUMBER, TENSOR, TEXT, kind_of
from modelserver_pytorch.export import model_of, read_program
from modelserver_pytorch.mutation import script_writes, written_inputs
from modelserver_pytorch.tensors import array_of, named
from torch.nn import functional

from tests.runtimes import nets
from tests.runtimes.nets import request, save_export, seeded


def own_value(x: torch.Tensor) -> torch.Tensor:
    return torch.relu_(x + 1)


def through_a_view(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1)[1:].mul_(2)


def through_dropout(x: torch.Tensor) -> torch.Tensor:
    return functional.dropout(x, 0.5, False).add_(1)


def through_a_list(x: torch.Tensor) -> torch.Tensor:
    return torch.split(x, 1)[0].add_(1)


def after_a_copy(x: torch.Tensor) -> torch.Tensor:
    return x.clone().add_(1)


WRITES: dict[Callable[[torch.Tensor], torch.Tensor], bool] = {
    own_value: False,
    after_a_copy: False,
    through_a_view: True,
    through_dropout: True,
    through_a_list: True,
}


@pytest.mark.parametrize(("function", "writes"), WRITES.items(), ids=[each.__name__ for each in WRITES])
def test_what_writes_to_its_input_is_found_in_both_kinds_of_graphs(
    function: Callable[[torch.Tensor], torch.Tensor], writes: bool
) -> None:
    class Wrapped(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    with warnings.catch_warnings(action="ignore"):
        program = torch.export.export(Wrapped(), (torch.ones(2, 3),))
        script = torch.jit.script(function)
    assert (written_inputs(program.graph_module, ["x"]) == {"x"}) is writes
    assert script_writes(script.inlined_graph) is writes


def test_a_write_in_a_loop_is_found() -> None:
    def loop(x: torch.Tensor, times: int) -> torch.Tensor:
        y = torch.zeros_like(x)
        for index in range(times):
            if index == 1:
                y = x
            y.add_(1)
        return y

    with warnings.catch_warnings(action="ignore"):
        assert script_writes(torch.jit.script(loop).inlined_graph)


def test_channels_last_weights_are_chosen_only_for_equal_bits_and_less_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_export(tmp_path / "conv.pt2", seeded(nets.Conv), (torch.ones(1, 3, 8, 8),))
    images = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    program, cpu = read_program(path), torch.device("cpu")
    answers = []
    for gain, chosen in ((0.5, True), (0.95, False), (float("inf"), False)):
        monkeypatch.setattr(layout, "_gain", lambda *each, gain=gain: gain)
        model = model_of(program, cpu)
        weights = [each for each in model._flat.args if each.dim() == 4]  # type: ignore[attr-defined]
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in weights) is chosen
        answers.append(model.answer(request(image=images))["output-0"])
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)
    monkeypatch.undo()
    measured = layout._gain(model, model, 1)
    assert 0 < measured < float("inf")


Pair = namedtuple("Pair", "first second")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (1, ["output-0"]),
        ((1, "a"), ["output-0", "output-1"]),
        ([1, 2], ["output-0"]),
        ({"a": {"b": 1}, "c": None}, ["a.b"]),
        (Pair(1, (2, "x")), ["first", "second.0", "second.1"]),
        (({"a": 1}, 2), ["output-0.a", "output-1"]),
    ],
)
def test_values_are_called_by_their_paths(value: Any, names: list[str]) -> None:
    assert [name for name, _ in named(value)] == names


def test_arrays_of_tensors_share_their_memory() -> None:
    tensor = torch.ones(2, 2)
    assert array_of(tensor).ctypes.data == tensor.data_ptr()
    half = tensor.to(torch.bfloat16)
    assert array_of(half).ctypes.data == half.data_ptr()
    assert array_of(torch.tensor(3.0)).tolist() == [3.0]
    assert array_of(torch.nn.Parameter(tensor)).shape == (2, 2)
    assert array_of(torch.eye(2).to_sparse()).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Tensor", TENSOR),
        ("", TENSOR),
        ("torch.Tensor | None", TENSOR),
        ("Optional[Dict[str, Tensor]]", DICT),
        ("typing.Mapping[str, torch.Tensor]", DICT),
        ("List[Tensor]", LIST),
        ("int", NUMBER),
        ("float | None", NUMBER),
        ("str", TEXT),
    ],
)
def test_what_a_parameter_takes_is_told_by_its_annotation(words: str, kind: str) -> None:
    assert kind_of(words) == kind
