"""The model that the tests of the command line serve."""

from __future__ import annotations

from typing import Any

from modelserver import InferRequest, Model, TensorMetadata


class Doubler(Model):
    inputs = (TensorMetadata(name="x", datatype="FP64", shape=[-1, 2]),)
    outputs = (TensorMetadata(name="y", datatype="FP64", shape=[-1, 2]),)

    def predict(self, request: InferRequest) -> Any:
        return {"y": request["x"] * 2}
