"""The server of this benchmark: a model that sleeps and one that computes, for as many seconds as they are sent."""

from __future__ import annotations

import sys
import time

import numpy as np

from modelserver import InferRequest, Model, ModelServer


class Sleep(Model):
    """Sleeps, as a call to a database would."""

    def predict(self, request: InferRequest) -> np.ndarray:
        """The seconds that it slept."""
        time.sleep(float(request.array()[0]))
        return request.array()


class Compute(Model):
    """Computes in Python, so that it holds the GIL."""

    def predict(self, request: InferRequest) -> np.ndarray:
        """The seconds that it computed."""
        end = time.perf_counter() + float(request.array()[0])
        while time.perf_counter() < end:
            pass
        return request.array()


if __name__ == "__main__":
    server = ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), max_threads=64, lame_duck=2.0)
    server.serve([Sleep("sleep"), Compute("compute")])
