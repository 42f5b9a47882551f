"""PyTorch models for modelserver; what a model takes and gives is read from the model where it says so.

Nothing here imports torch: that takes seconds and starts threads, and happens when a model is loaded, which is
after the server's workers were forked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from modelserver import InferRequest, Model
from modelserver_pytorch.options import PyTorchSettings

if TYPE_CHECKING:
    from modelserver_pytorch.served import Served

__all__ = ["PyTorchModel", "PyTorchSettings"]
__version__ = "0.1.0"

log = logging.getLogger("modelserver.pytorch")


class PyTorchModel(Model):
    """A model from a file of PyTorch's: its form is told by what the file holds, not by its name.

    A model class beside weights and a TorchServe archive are code that loading runs: serve only files that you trust.
    """

    artifacts = ("*.pt2", "*.pt", "*.pth", "*.safetensors", "*.mar")
    platform = "pytorch"
    settings: PyTorchSettings = PyTorchSettings()

    _served: Served | None = None
    _answer: Callable[[InferRequest], Any]
    #: What ``load`` read from the model, and nobody wrote down for it.
    _detected: frozenset[str] = frozenset()

    def load(self) -> None:
        """Read the model and what it takes, and answer made-up requests, so that its code is warm."""
        from modelserver_pytorch.served import open_model

        before = self._served
        self._served = served = open_model(self.artifact(*self.artifacts), self.name, self.settings)
        self._answer = served.answer
        found = {"inputs": served.inputs, "outputs": served.outputs, "batching": served.batching}
        given = {key for key in found if key in vars(self) or getattr(type(self), key)} - self._detected
        self._detected = frozenset(found) - given
        vars(self).update({key: found[key] for key in self._detected})
        served.warm_up()
        if before is not None:  # loaded anew while it served
            before.close()

    def unload(self) -> None:
        """Let go of the model; what was read from it is read again when it is loaded again."""
        if self._served is not None:
            self._served.close()
        for key in ("_served", "_answer", "_detected", *self._detected):
            vars(self).pop(key, None)

    def predict(self, request: InferRequest) -> Any:
        """What the model returns: an array by name for each of its tensors; of a ``.mar`` what its handler returns."""
        return self._answer(request)

    def explain(self, request: InferRequest) -> Any:
        """What a ``.mar`` archive's handler explains; other forms have nothing to explain with."""
        if self._served is None or self._served.explain is None:
            return super().explain(request)
        return self._served.explain(request)
