"""Our server with default settings and a model that does nothing: it answers with its input."""

from __future__ import annotations

import sys

import numpy as np

from modelserver import InferRequest, Model, ModelServer, TensorMetadata


class Noop(Model):
    """The input is the output."""

    inputs = (TensorMetadata(name="x", datatype="FP32", shape=[-1, 4]),)
    outputs = (TensorMetadata(name="y", datatype="FP32", shape=[-1, 4]),)

    def predict(self, request: InferRequest) -> np.ndarray:
        """The input."""
        return request["x"]


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2])).serve([Noop("noop")])
