"""Weights with a model class: a ``state_dict`` (``.pt``, ``.pth``, ``.safetensors``) and a Python file beside it.

As KServe's pytorchserver had it: the class is called ``PyTorchModel``, or what ``--model_class_name`` says, and is
made without arguments.
"""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from modelserver_pytorch.binding import Caller, parameters_of
from modelserver_pytorch.imports import ModelCode
from modelserver_pytorch.options import PyTorchSettings
from modelserver_pytorch.reasons import reason
from modelserver_pytorch.script import numbers_of
from modelserver_pytorch.served import Served
from modelserver_pytorch.tensors import private_tensor_of

#: KServe's name of the class when nobody names another.
DEFAULT_CLASS = "PyTorchModel"
# Where checkpoints of training loops keep the weights.
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")


def open_weights(file: Path, device: torch.device, options: PyTorchSettings) -> Served:
    """Make the model of its class and fill in the weights. The class's file is executed."""
    weights = read_weights(file, device)
    code = ModelCode(file.parent)
    module = filled(model_class(file, code, options.model_class_name or "")(), weights, file.name).to(device).eval()
    # Python code may write to its inputs, and nobody can tell beforehand: it gets copies of what is not its own.
    caller = Caller(module, parameters_of(module.forward), private_tensor_of, device, numbers_of(module))
    return Served(caller.answer, close=code.close)


def read_weights(file: Path, device: torch.device) -> Mapping[str, torch.Tensor]:
    """The tensors by name in a file of weights; no code in the file is run. ``ValueError`` in one line."""
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file, device=str(device))
        except SafetensorError as exc:
            raise ValueError(f"{file.name}: {reason(exc)}") from exc
    try:
        mapped = zipfile.is_zipfile(file)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of pickles that are not torch's
            content = torch.load(file, map_location=device, weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as exc:
        blocked = re.search(r"GLOBAL ([\w.]+)", str(exc))
        what = f"{blocked[1]}, which is code" if blocked else "something that is damaged, or code"
        raise ValueError(
            f"{file.name} holds more than weights: {what}. Save model.state_dict(), or torch.export the model"
        ) from exc
    return weights_in(content, file.name)


def weights_in(content: Any, name: str) -> Mapping[str, torch.Tensor]:
    """A ``state_dict``, or the one in a training loop's checkpoint; names without ``DataParallel``'s ``module.``."""
    if isinstance(content, Mapping):
        content = next((content[key] for key in _CHECKPOINT_KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{name}: expected a state_dict, tensors by name, got {type(content).__name__}")
    weights = dict(content)
    if weights and all(key.startswith("module.") for key in weights):
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights


def filled(module: torch.nn.Module, weights: Mapping[str, Any], name: str) -> torch.nn.Module:
    """``module`` with ``weights``, which must be its own, all of them; of their datatype where they have just one."""
    kinds = {value.dtype for value in weights.values() if isinstance(value, torch.Tensor) and value.is_floating_point()}
    if len(kinds) == 1:
        module = module.to(kinds.pop())
    try:
        module.load_state_dict(weights)
    except RuntimeError as exc:
        raise ValueError(f"{name} does not fit {type(module).__name__}: {reason(exc)}") from exc
    return module


def model_class(file: Path, code: ModelCode, wanted: str) -> type[torch.nn.Module]:
    """The class ``wanted`` in the Python file beside ``file``, which is executed; ``ValueError`` in one line."""
    source = _source(file)
    module = code.module(source.stem)
    found = getattr(module, wanted or DEFAULT_CLASS, None)
    classes = classes_of(module)
    if found is None and not wanted and len(classes) == 1:
        found = classes[0]
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        names = ", ".join(each.__name__ for each in classes) or "none"
        raise ValueError(  # noqa: TRY004 - the artifact's mistake, as others
            f"{source.name} has no model class {wanted or DEFAULT_CLASS}, it has {names}: --model_class_name says which"
        )
    return found


def classes_of(module: ModuleType) -> list[type[torch.nn.Module]]:
    """The model classes that a module defines itself."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, torch.nn.Module) and value.__module__ == module.__name__
    ]


def _source(file: Path) -> Path:
    sources = sorted(file.parent.glob("*.py"))
    chosen = [source for source in sources if source.name == "model.py"] or sources
    if not chosen:
        raise ValueError(f"{file.name} holds weights alone: expected a .py file beside it with the model's class")
    if len(chosen) > 1:
        names = ", ".join(source.name for source in chosen)
        raise ValueError(f"expected model.py or exactly one .py file beside {file.name}, got {names}")
    return chosen[0]
