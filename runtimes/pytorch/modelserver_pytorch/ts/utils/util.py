"""Labels of classes, and the error that carries a status."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

#: HTML tags and entities.
CLEANUP_REGEX = re.compile(r"<[^>]*>|&(?:[a-z0-9]+|#[0-9]{1,6}|#x[0-9a-f]{1,6});")


class PredictionException(Exception):
    """A handler's error for the client: ``message`` with the HTTP status ``error_code``."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


def list_classes_from_module(module: ModuleType, parent_class: type | None = None) -> list[type]:
    """The classes that a module defines itself, those of ``parent_class`` if it is given."""
    found = [value for _, value in inspect.getmembers(module, inspect.isclass) if value.__module__ == module.__name__]
    return found if parent_class is None else [each for each in found if issubclass(each, parent_class)]


def load_label_mapping(mapping_file_path: str) -> dict[str, str] | None:
    """``index_to_name.json``: a label by the number of its class; ``None`` when there is no such file.

    A label may be a list, whose last element it then is; ``{"object_type_names": [...]}`` numbers its elements.
    """
    path = Path(mapping_file_path)
    if not path.is_file():
        return None
    mapping = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(mapping, dict):
        raise TypeError(f"{path.name}: expected an object, a label by the number of its class")
    names = mapping.get("object_type_names")
    if isinstance(names, list):
        return {str(index): name for index, name in enumerate(names)}
    labels = {key: value[-1] if isinstance(value, list) else value for key, value in mapping.items()}
    if not all(isinstance(label, str) for label in labels.values()):
        raise TypeError(f"{path.name}: expected every label to be a text, or a list of texts")
    return labels


def map_class_to_label(
    probs: Sequence[Sequence[float]],
    mapping: dict[str, str] | None = None,
    lbl_classes: Sequence[Sequence[int]] | None = None,
) -> list[dict[str, float]]:
    """Each row of probabilities as ``{label: probability}``; ``lbl_classes`` are the classes' numbers, else 0, 1, 2."""
    rows = [range(len(row)) for row in probs] if lbl_classes is None else lbl_classes
    return [
        {
            (str(number) if mapping is None else mapping[str(number)]): probability
            for number, probability in zip(numbers, row, strict=False)
        }
        for numbers, row in zip(rows, probs, strict=False)
    ]


def check_valid_pt2_backend(backend: str) -> bool:
    """Whether torch.compile knows the backend."""
    import torch

    return backend in torch._dynamo.list_backends(None)


def get_yaml_config(yaml_file_path: str) -> Any:
    """A YAML file."""
    import yaml

    return yaml.safe_load(Path(yaml_file_path).read_text(encoding="utf-8"))
