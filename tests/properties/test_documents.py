"""Whatever JSON or bytes a client sends, it is answered or refused, and never a fault of the server's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelserver_sklearn import SklearnModel
from sklearn.linear_model import LinearRegression
from sklearn.svm import SVC

from modelserver import Model
from modelserver.testing import InMemoryServer
from tests.conformance.models import Echo, Sum, TwoInTwoOut
from tests.properties.strategies import documents, v1_bodies, v2_bodies

NAMES = ["sum", "two", "echo", "iris", "line"]


class Fuzzed:
    """A server in memory and the loop that it runs on, for tests that are not async."""

    def __init__(self, models: list[Model]) -> None:
        self._runner = asyncio.Runner()
        self._server = InMemoryServer(models)
        self._runner.run(self._server.__aenter__())

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> None:
        """Send it, and require an answer, or an error that is the client's, in the errors' form."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = self._runner.run(self._server.request("POST", path, content, headers))
        assert reply.status < 500, (reply.status, reply.body)
        if reply.status != 200:
            error = reply.json()
            assert list(error) == ["error"]
            assert type(error["error"]) is str
            assert len(error["error"]) < 1000, "an error does not echo the request"

    def close(self) -> None:
        self._runner.run(self._server.__aexit__(None, None, None))
        self._runner.close()


@contextmanager
def fuzzed(directory: Path) -> Iterator[Fuzzed]:
    rng = np.random.default_rng(0)
    models: list[Model] = [Sum("sum"), TwoInTwoOut("two"), Echo("echo")]
    for name, estimator in (
        ("iris", SVC().fit(rng.normal(size=(30, 4)), np.arange(30) % 3)),
        ("line", LinearRegression().fit(rng.normal(size=(9, 1)), np.arange(9))),
    ):
        joblib.dump(estimator, directory / f"{name}.joblib")
        model = SklearnModel(name)
        model.path = directory / f"{name}.joblib"
        models.append(model)
    server = Fuzzed(models)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    with fuzzed(tmp_path_factory.mktemp("models")) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
@given(body=st.one_of(v1_bodies, v1_bodies, documents))
@settings(max_examples=30)
def test_any_document_on_v1(server: Fuzzed, name: str, body: Any) -> None:
    server.post(f"/v1/models/{name}:predict", body)


@pytest.mark.parametrize("name", NAMES)
@given(body=st.one_of(v2_bodies, v2_bodies, documents))
@settings(max_examples=30)
def test_any_document_on_v2(server: Fuzzed, name: str, body: Any) -> None:
    server.post(f"/v2/models/{name}/infer", body)


@given(body=st.binary(max_size=60), length=st.none() | st.integers(-2, 70), name=st.sampled_from(NAMES))
@settings(max_examples=50)
def test_any_bytes(server: Fuzzed, body: bytes, length: int | None, name: str) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    server.post(f"/v2/models/{name}/infer", body, headers)
    server.post(f"/v1/models/{name}:predict", body)


@given(body=v2_bodies, tail=st.binary(max_size=40), name=st.sampled_from(NAMES))
@settings(max_examples=50)
def test_any_document_with_any_tail(server: Fuzzed, body: Any, tail: bytes, name: str) -> None:
    head = json.dumps(body).encode()
    server.post(f"/v2/models/{name}/infer", head + tail, {"Inference-Header-Content-Length": str(len(head))})


@given(body=documents)
@settings(max_examples=30)
def test_any_document_for_the_repository(server: Fuzzed, body: Any) -> None:
    server.post("/v2/repository/index", body)
    server.post("/v2/repository/models/nobody/load", body)
