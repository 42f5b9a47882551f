"""Small networks for the PyTorch runtime's tests, and the ways users save them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from modelserver_pytorch import PyTorchModel
from torch import nn
from torch.export import Dim

from modelserver import InferRequest, Tensor

BATCH = Dim("batch", min=1, max=64)

#: The file beside weights, as users write it: what ``Net`` below is.
MODEL_PY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(torch.relu(self.hidden(x)))
"""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.hidden(x)))


class Nested(nn.Module):
    """A dict and a tensor in; a dict with a tuple and a list inside, and other datatypes, out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, batch: dict[str, torch.Tensor], scale: torch.Tensor) -> dict[str, Any]:
        found = self.embedding(batch["ids"]).mean(1) * batch["weights"]
        scores = self.last(found) * scale
        return {"scores": scores, "more": (scores.argmax(1), [scores.to(torch.bfloat16), None])}


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, stride=2)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image).mean((2, 3)))


class Greedy(nn.Module):
    """Writes to its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.view(-1).add_(1)
        return x * 2


class Counter(nn.Module):
    """Writes to itself: answers how many rows it has seen."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(x.shape[0])
        return x + self.seen


def seeded(net: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return net().eval()


def save_export(path: Path, net: nn.Module, args: tuple[Any, ...], **options: Any) -> Path:
    with warnings.catch_warnings(action="ignore"):
        torch.export.save(torch.export.export(net, args, **options), path)
    return path


def save_script(path: Path, net: nn.Module, example: torch.Tensor | None = None) -> Path:
    """Scripted, or with an example traced."""
    with warnings.catch_warnings(action="ignore"):
        script = torch.jit.script(net) if example is None else torch.jit.trace(net, example)
        torch.jit.save(script, path)
    return path


def loaded(path: Path, name: str = "m", **settings: Any) -> PyTorchModel:
    model = unloaded(path, name, **settings)
    model.load()
    return model


def unloaded(path: Path, name: str = "m", **settings: Any) -> PyTorchModel:
    model = PyTorchModel(name)
    model.path = path
    if settings:
        model.settings = type(model.settings)(**settings)
    return model


def request(**arrays: Any) -> InferRequest:
    return InferRequest("m", [Tensor(name.replace("__", "."), array) for name, array in arrays.items()])


def direct(net: nn.Module, *arguments: Any) -> Any:
    with torch.inference_mode():
        return net(*arguments)
