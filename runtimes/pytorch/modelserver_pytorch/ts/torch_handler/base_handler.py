"""``BaseHandler``: what most handlers inherit. It loads the model of the archive, and answers with its tensors."""

from __future__ import annotations

import importlib
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from ..handler_utils.timer import timed
from ..utils.util import list_classes_from_module, load_label_mapping

logger = logging.getLogger(__name__)


class BaseHandler:
    """TorchServe's methods and attributes; handlers replace those that they do otherwise.

    The model is a class in ``modelFile`` with the weights in ``serializedFile``, or TorchScript in it alone.
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.mapping: dict[str, str] | None = None
        self.device: Any = None
        self.initialized = False
        self.context: Any = None
        self.model_pt_path: str | None = None
        self.manifest: Any = None
        self.map_location: str | None = None
        self.model_yaml_config: Any = {}
        self.explain = False
        self.target = 0
        self.profiler_args: dict[str, Any] = {}

    def initialize(self, context: Any) -> None:
        """Load the model that the manifest names, to the GPU of the context or the CPU; and the classes' labels."""
        properties = context.system_properties
        gpu = properties.get("gpu_id")
        self.map_location = "cuda" if gpu is not None and torch.cuda.is_available() else "cpu"
        self.device = torch.device(f"cuda:{gpu}" if self.map_location == "cuda" else "cpu")
        self.manifest = context.manifest
        self.model_yaml_config = context.model_yaml_config
        directory = Path(properties["model_dir"])
        model = self.manifest["model"]
        if model.get("serializedFile"):
            self.model_pt_path = str(directory / model["serializedFile"])
        if model.get("modelFile"):
            self.model = self._load_pickled_model(str(directory), model["modelFile"], self.model_pt_path)
            self.model.to(self.device)
        elif self.model_pt_path is not None and self.model_pt_path.endswith((".pt", ".pth")):
            self.model = self._load_torchscript_model(self.model_pt_path)
        else:
            raise RuntimeError("the archive names neither a model file with its class nor a TorchScript .pt file")
        self.model.eval()
        self.mapping = load_label_mapping(str(directory / "index_to_name.json"))
        self.initialized = True

    def _load_torchscript_model(self, model_pt_path: str) -> Any:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            return torch.jit.load(model_pt_path, map_location=self.device)  # type: ignore[no-untyped-call]

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str | None) -> Any:
        """The class in ``model_file`` with its weights, of which no code is run."""
        module = importlib.import_module(Path(model_file).stem)
        classes = list_classes_from_module(module)
        if len(classes) != 1:  # helpers beside it are fine, as long as one class is a model
            classes = [each for each in classes if issubclass(each, torch.nn.Module)]
        if len(classes) != 1:
            names = ", ".join(each.__name__ for each in classes) or "none"
            raise ValueError(f"{model_file}: expected one model class, got {names}")
        model = classes[0]()
        if model_pt_path:
            model.load_state_dict(torch.load(model_pt_path, map_location=self.device, weights_only=True))
        return model

    @timed
    def preprocess(self, data: Any) -> Any:
        """The requests' data as one tensor."""
        return torch.as_tensor(data, device=self.device)

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """What the model makes of it."""
        with torch.inference_mode():
            return self.model(data.to(self.device), *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> Any:
        """A list, one element a request."""
        return data.tolist()

    def handle(self, data: Any, context: Any) -> Any:
        """Preprocess, inference, postprocess; or an explanation, or a description, if the request's headers say so."""
        start = time.perf_counter()
        self.context = context
        if self._is_describe():
            output: Any = [self.describe_handle()]
        else:
            prepared = self.preprocess(data)
            if self._is_explain():
                output = self.explain_handle(prepared, data)
            else:
                output = self.postprocess(self.inference(prepared))
        context.metrics.add_time("HandlerTime", round((time.perf_counter() - start) * 1000, 2), None, "ms")
        return output

    def explain_handle(self, data_preprocess: Any, raw_data: Any) -> Any:
        """``get_insights`` of the handler, with the first request's own data and ``target``."""
        first = raw_data[0]
        inputs, target = None, 0
        if isinstance(first, dict):
            inputs = first.get("data") or first.get("body")
            target = first.get("target") or 0
        return self.get_insights(data_preprocess, inputs, target)

    def get_insights(self, tensor_data: Any, raw_data: Any, target: int = 0) -> Any:
        """For handlers that can explain."""
        raise NotImplementedError(f"{type(self).__name__} has no get_insights")

    def describe_handle(self) -> Any:
        """For handlers that describe themselves."""
        return None

    def get_device(self) -> Any:
        """Where the model is."""
        return self.device

    def _is_explain(self) -> bool:
        self.explain = bool(self.context) and self.context.get_request_header(0, "explain") == "True"
        return self.explain

    def _is_describe(self) -> bool:
        return bool(self.context) and self.context.get_request_header(0, "describe") == "True"
