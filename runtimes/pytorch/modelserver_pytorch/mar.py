"""TorchServe archives: the handler of a ``.mar`` file answers, as behind TorchServe with its KServe envelopes.

v1: the handler's data are the ``instances``, its result is ``predictions``. v2: its data are the inputs as objects
(``name``, ``shape``, ``datatype``, ``data``: numbers nested in lists, of BYTES the first element), and each element of
its result is an output, flat, called as the input is. A body that is not JSON is ``[{"body": bytes}]``, as without an
envelope.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import inspect
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelserver import InferRequest, InferResponse, InvalidInput, ModelServerError, Tensor
from modelserver_pytorch import torchserve
from modelserver_pytorch.archive import Archive, report_requirements, unpack
from modelserver_pytorch.imports import ModelCode
from modelserver_pytorch.reasons import reason
from modelserver_pytorch.served import Served
from modelserver_pytorch.tensors import private_tensor_of

log = logging.getLogger("modelserver.pytorch")


def open_archive(file: Path, name: str, device: torch.device) -> Served:
    """Unpack an archive, import its handler and let it load its model. All of it is code that is executed."""
    archive = unpack(file)
    code = ModelCode(archive.directory)

    def close() -> None:
        code.close()
        torchserve.leave()
        archive.close()

    torchserve.enter()
    try:
        report_requirements(archive, name)
        handler = Handler(archive, code, name, device)
    except BaseException:
        close()
        raise
    return Served(handler.predict, explain=handler.explain, close=close)


class Handler:
    """The entry point of an archive. One request at a time: a handler keeps the request in itself."""

    def __init__(self, archive: Archive, code: ModelCode, name: str, device: torch.device) -> None:
        self._context_module = importlib.import_module("ts.context")
        self._lock = threading.Lock()
        model = archive.model
        self._context = self._context_module.Context(
            str(model.get("modelName") or name),
            str(archive.directory),
            archive.manifest,
            1,
            device.index if device.type == "cuda" else None,
            importlib.import_module("ts").__version__,
            metrics=importlib.import_module("ts.metrics.metrics_store").MetricsStore(None, name),
            model_yaml_config=dict(archive.config),
        )
        self._entry, initialize, self._takes_tensors = _entry_point(model["handler"], code)
        with code.importing():
            try:
                initialize(self._context)
            except Exception as exc:
                log.debug("the handler failed to initialize", exc_info=True)
                raise ValueError(f"{model['handler']}: {type(exc).__name__}: {reason(exc)}") from exc

    def predict(self, request: InferRequest) -> Any:
        """What the handler makes of the request."""
        return self._answer(request, "predictions", {})

    def explain(self, request: InferRequest) -> Any:
        """What the handler explains: it is told by TorchServe's header ``explain: True``."""
        return self._answer(request, "explanations", {"explain": "True"})

    def _answer(self, request: InferRequest, key: str, headers: Mapping[str, str]) -> Any:
        v1 = request.lazy_inputs is not None or request.body is not None
        inputs = [] if v1 else request.inputs
        whole = self._takes_tensors and len(inputs) == 1 and inputs[0].datatype != "BYTES"
        data: Any
        if whole:
            data = private_tensor_of(inputs[0].data)
        else:
            data = _instances(request) if v1 else [_row(tensor) for tensor in inputs]
        with self._lock:
            processor = self._begin(request, max(1, len(data)), headers)
            try:
                result = self._entry(data, self._context)
            except Exception as exc:
                raise _told(exc) from exc
        status = processor.get_response_status_code()
        if status is not None and status >= 400:
            raise ModelServerError(processor.get_response_status_phrase() or f"status {status}", status=status)
        for name, value in processor.get_response_headers().items():
            if name.lower() != "content-type":  # the protocol's own
                request.context.response_headers[name] = str(value)
        if v1:
            return {key: _plain(result)}
        results = [result] if whole or not isinstance(result, (list, tuple)) else result
        return InferResponse(_tensors(results, inputs, whole))

    def _begin(self, request: InferRequest, rows: int, headers: Mapping[str, str]) -> Any:
        """Tell the context of the request; all rows have its headers and its id."""
        processor = self._context_module.RequestProcessor({**request.context.request_headers, **headers})
        self._context.request_processor = [processor] * rows
        self._context.request_ids = dict.fromkeys(range(rows), request.id or request.context.id)
        return processor


def _entry_point(handler: str, code: ModelCode) -> tuple[Callable[..., Any], Callable[[Any], Any], bool]:
    """What answers, what loads, and whether it takes tensors as they are.

    ``handler`` is a file of the archive, perhaps with a function (``handler.py:entry``), or the name of one of
    TorchServe's own. A module's ``handle(data, context)`` is called without data to load; else the module has one
    class with ``initialize`` and ``handle``.
    """
    file, _, function = handler.partition(":")
    stem = Path(file).stem
    if (code.directory / f"{stem}.py").is_file():
        module = code.module(stem)
    elif stem in torchserve.default_handlers():
        module = importlib.import_module(f"ts.torch_handler.{stem}")
    else:
        known = ", ".join(torchserve.default_handlers())
        raise ValueError(f"handler {handler}: no such file in the archive, and of TorchServe's own there are {known}")
    entry = getattr(module, function or "handle", None)
    if callable(entry) and not inspect.isclass(entry):
        return entry, lambda context: entry(None, context), False
    if function:
        raise ValueError(f"{stem}.py has no function {function}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "handle")
    ]
    # A class that another one of the module extends is not the handler.
    found = [each for each in found if not any(other is not each and issubclass(other, each) for other in found)]
    if len(found) != 1:
        names = ", ".join(each.__name__ for each in found) or "none"
        raise ValueError(f"{stem}.py: expected a function handle or one class with a method handle, got {names}")
    instance: Any = found[0]()
    base = importlib.import_module("ts.torch_handler.base_handler").BaseHandler
    takes_tensors = isinstance(instance, base) and type(instance).preprocess is base.preprocess
    return instance.handle, getattr(instance, "initialize", lambda context: None), takes_tensors


def _instances(request: InferRequest) -> list[Any]:
    """A v1 body as a handler's data."""
    if request.body is not None:
        return [{"body": request.body}]
    body = request.json
    instances = body.get("instances", body.get("inputs")) if isinstance(body, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('body: expected "instances", a list with an element for each row')
    return [_decoded(instance, index) for index, instance in enumerate(instances)]


def _decoded(instance: Any, index: int) -> Any:
    """An instance, with v1's ``{"b64": ...}`` as bytes: alone, or as a value of its own."""
    if not isinstance(instance, dict):
        return instance
    if instance.keys() == {"b64"}:
        return {"data": _bytes(instance, index)}
    return {
        key: _bytes(value, index) if isinstance(value, dict) and value.keys() == {"b64"} else value
        for key, value in instance.items()
    }


def _bytes(value: Mapping[str, Any], index: int) -> bytes:
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError, TypeError) as exc:
        raise InvalidInput(f"instances[{index}].b64: expected base64: {exc}") from exc


def _row(tensor: Tensor) -> dict[str, Any]:
    """An input of v2 as TorchServe's envelope hands it on; BYTES are text where they are UTF-8."""
    data: Any
    if tensor.datatype == "BYTES":
        data = next(iter(tensor.data.flat), b"")
        try:
            data = data.decode()
        except UnicodeDecodeError:
            log.debug("input %s is no text", tensor.name)
    else:
        data = tensor.data.tolist()
    return {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype, "data": data}


def _tensors(results: Sequence[Any], inputs: Sequence[Tensor], whole: bool) -> list[Tensor]:
    names = [tensor.name for tensor in inputs] + [f"output-{index}" for index in range(len(inputs), len(results))]
    return [
        Tensor(name, array if whole else array.reshape(-1))
        for name, array in zip(names, map(_array, results), strict=False)
    ]


def _array(result: Any) -> np.ndarray:
    """Numbers as an array, text as BYTES, any other structure as BYTES with its JSON."""
    value = _plain(result)
    if not isinstance(value, (dict, str)) and value is not None:
        try:
            array = np.array(value)
        except ValueError:
            log.debug("a ragged result is sent as JSON")
        else:
            if array.dtype != object:
                return array if array.ndim else array.reshape(1)
    return np.array([value if isinstance(value, str) else json.dumps(value)], dtype=object)


def _plain(value: Any) -> Any:
    """What a handler returned as JSON can have it."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode(errors="replace")
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _told(exc: Exception) -> Exception:
    """TorchServe's ``PredictionException`` says what the client is to be told; other errors are the handler's own."""
    status, message = getattr(exc, "error_code", None), getattr(exc, "message", None)
    if isinstance(status, int) and isinstance(message, str) and 400 <= status <= 599:
        return ModelServerError(message, status=status)
    return exc
