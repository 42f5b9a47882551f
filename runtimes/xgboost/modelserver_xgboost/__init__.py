"""XGBoost models for modelserver: columns, categories and outputs are read from the model itself."""

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from modelserver import (
    BatchSettings,
    InferRequest,
    InvalidInput,
    Model,
    RuntimeSettings,
    Tensor,
    TensorMetadata,
    cpu_share,
    setting,
)
from modelserver_xgboost.document import read_document
from modelserver_xgboost.engines import accelerate
from modelserver_xgboost.options import DEFAULT, PREDICT_TYPES, Options, options_of
from modelserver_xgboost.rows import table_of
from modelserver_xgboost.schema import BASE_MARGIN, saved_version, schema_of

__all__ = ["XGBoostModel", "XGBoostSettings"]
__version__ = "0.1.0"

log = logging.getLogger("modelserver.xgboost")

#: How XGBoost begins an error: the time, a place in its source, the condition that failed.
_PREFIX = re.compile(r"\[[\d:]+\] \S+:\d+: (Check failed: .*?: (?=\S))?")


@dataclass(frozen=True, slots=True)
class XGBoostSettings(RuntimeSettings):
    """What the runtime can be told: ``--nthread`` or ``MODELSERVER_NTHREAD``, and so on."""

    nthread: int | None = setting(
        None, "Threads that one predict of XGBoost may use; the CPUs of this process when not set", minimum=1
    )
    accelerate: str = setting(
        "auto",
        "Engines besides a model's framework: auto (what is proved equal and faster), off,"
        " or the one of this name: gtil, numpy, lean",
    )


class XGBoostModel(Model):
    """A booster from a model file: ``.ubj``, ``.json``, or ``.bst`` with either of them inside."""

    artifacts = ("*.ubj", "*.json", "*.bst")
    platform = "xgboost"
    input_check = "compatible"
    batching = BatchSettings()
    settings: XGBoostSettings = XGBoostSettings()

    def load(self) -> None:
        """Check the file, read the booster and what it takes; answer one row, which shows the output's shape."""
        try:
            import xgboost
        except ModuleNotFoundError:
            raise ModuleNotFoundError('XGBoost is not installed: pip install "modelserver-xgboost[cpu]"') from None
        path = self.artifact(*self.artifacts)
        data = bytearray(path.stat().st_size)  # XGBoost reads it where it is
        with path.open("rb") as file:
            file.readinto(data)
        saved: tuple[int, ...] = ()
        try:
            document = read_document(data)
            saved = saved_version(document)
            self._schema = schema_of(document, xgboost.__version__)
            self.nthread = self.settings.nthread or max(1, int(cpu_share()))
            with xgboost.config_context(verbosity=0):  # its warnings are for those who train
                self._booster = xgboost.Booster({"nthread": self.nthread}, model_file=data)
        except ValueError as exc:  # XGBoost's own errors too
            raise ValueError(f"{path.name}: {_reason(exc)}{_versions(saved, xgboost.__version__)}") from None
        if saved and saved[0] != int(xgboost.__version__.partition(".")[0]):
            log.info("model %s%s", self.name, _versions(saved, xgboost.__version__))
        self._rounds = self._booster.num_boosted_rounds()
        best = self._booster.attr("best_iteration")
        self._best = None if best is None else int(best)
        # XGBoost promises that threads may predict at once with trees, and says nothing of linear models.
        self._lock = threading.Lock() if self._schema.booster == "gblinear" else None
        self.inputs = self._schema.inputs
        self._has_margin = any(tensor.optional for tensor in self.inputs)
        self._example = np.zeros((1, self._schema.features), np.float32)
        framework = partial(self._answer, margin=None, options=DEFAULT)
        self._values = accelerate(
            self.name, self._booster, document, self._schema.features, framework, self.settings.accelerate
        )
        self.properties = self._values.properties
        answer = framework(self._example)
        self.outputs = [TensorMetadata("output-0", "FP32", [-1, *answer.shape[1:]])]

    def predict(self, request: InferRequest) -> dict[str, np.ndarray]:
        """``output-0``, a row each: the value, or what the parameter ``predict_type`` asks for."""
        options = options_of(request.parameters, self._rounds, self._best) if request.parameters else DEFAULT
        inputs: Sequence[Tensor] = request.inputs
        margin = None
        if self._has_margin and len(inputs) > 1:
            margin = next((tensor.data for tensor in inputs if tensor.name == BASE_MARGIN), None)
            inputs = inputs if margin is None else [tensor for tensor in inputs if tensor.name != BASE_MARGIN]
        rows = table_of(inputs, self._schema)
        if margin is not None and len(margin) != len(rows):
            raise InvalidInput(f"inputs: {BASE_MARGIN!r} has {len(margin)} rows, expected {len(rows)}")
        try:
            if len(rows) == 0:  # XGBoost would answer without the other axes
                return {"output-0": self._answer(self._example, None, options)[:0]}
            if options is DEFAULT and margin is None:
                return {"output-0": self._values(rows)}
            return {"output-0": self._answer(rows, margin, options)}
        except ValueError as exc:
            raise InvalidInput(f"XGBoost, for predict_type {options.predict_type}: {_reason(exc)}") from exc

    def _answer(self, rows: np.ndarray, margin: np.ndarray | None, options: Options) -> np.ndarray:
        """FP32 [rows, ...]: straight from ``rows`` where XGBoost can, else by way of a copy in its own form."""
        if margin is not None:
            margin = np.ascontiguousarray(margin, np.float32)
        kind = options.predict_type
        if self._lock is None and kind in ("value", "margin"):
            return self._booster.inplace_predict(
                rows,
                iteration_range=options.iteration_range,
                predict_type=kind,
                validate_features=False,  # the names and the shape are checked
                base_margin=margin,
                strict_shape=options.strict_shape,
            )
        import xgboost

        matrix = xgboost.DMatrix(rows, base_margin=margin, nthread=self.nthread)
        arguments = {
            "iteration_range": options.iteration_range,
            "strict_shape": options.strict_shape,
            "validate_features": False,
            **PREDICT_TYPES[kind],
        }
        if self._lock is None:
            return self._booster.predict(matrix, **arguments)
        with self._lock:
            return self._booster.predict(matrix, **arguments)


def _reason(exc: ValueError) -> str:
    """The first line of XGBoost's message, without its place in the source."""
    return _PREFIX.sub("", str(exc).strip().partition("\n")[0]).strip()


def _versions(saved: tuple[int, ...], installed: str) -> str:
    """What to say of versions that differ; nothing when they are the same, or the file does not say its own."""
    text = ".".join(map(str, saved))
    return f"; saved by XGBoost {text}, installed is {installed}" if saved and text != installed else ""
