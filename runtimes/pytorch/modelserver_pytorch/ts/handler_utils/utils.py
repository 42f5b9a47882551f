"""``import_class``; and streaming, which archives cannot do here."""

from __future__ import annotations

import importlib
from typing import Any, NoReturn


def import_class(class_name: str, module_prefix: str | None = None) -> Any:
    """The class of a dotted name, below ``module_prefix`` if there is one; ``ImportError``."""
    module, _, name = class_name.rpartition(".")
    path = ".".join(part for part in (module_prefix, module) if part)
    if not path:
        raise ImportError(f"{class_name}: expected module.Class")
    found = getattr(importlib.import_module(path), name, None)
    if found is None:
        raise ImportError(f"{path} has no {name}")
    return found


def send_intermediate_predict_response(*arguments: Any, **named: Any) -> NoReturn:
    """TorchServe's streaming."""
    raise NotImplementedError("a TorchServe archive cannot stream: write a Model whose predict is a generator")
