"""schemathesis over our own OpenAPI document: no 5xx, and every error in the one form that errors have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import response_schema_conformance

from modelserver.testing import InMemoryServer
from tests.conformance.models import Declared, Echo, Sum, TwoInTwoOut


class Served:
    """A server in memory on a loop of its own, called with what schemathesis has made up."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._server = InMemoryServer([Sum("sum"), TwoInTwoOut("two"), Echo("echo"), Declared("BYTES", [-1], "text")])
        self._runner.run(self._server.__aenter__())
        self.document: dict[str, Any] = json.loads(self._runner.run(self._server.request("GET", "/openapi.json")).body)

    def close(self) -> None:
        self._runner.run(self._server.__aexit__(None, None, None))
        self._runner.close()

    def answer(self, case: schemathesis.Case) -> Response:
        kwargs = case.as_transport_kwargs(base_url="http://server")
        for name in ("timeout", "verify"):
            kwargs.pop(name, None)
        request = requests.Request(**kwargs).prepare()
        body = request.body or b""
        content = body if isinstance(body, bytes) else body.encode()
        headers = {str(name): str(value) for name, value in request.headers.items()}
        reply = self._runner.run(self._server.request(str(request.method), request.path_url, content, headers))
        received = {name: [value] for name, value in reply.headers.items()}
        return Response(reply.status, received, reply.body, request, elapsed=0.0, verify=False)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    try:
        yield server
    finally:
        server.close()


def test_no_request_is_a_fault_of_the_servers(served: Served) -> None:
    # Unloading is what the document offers too: it would leave nothing to infer with.
    schema = schemathesis.openapi.from_dict(served.document).exclude(path_regex="/unload$")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 30
    for operation in operations:
        check(served, operation.as_strategy(), examples=3)
        if operation.body:  # only a body can be wrong: names in paths are any text
            wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            check(served, wrong, examples=12)


def check(served: Served, cases: st.SearchStrategy[schemathesis.Case], *, examples: int) -> None:
    @given(cases)
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case) -> None:
        response = served.answer(case)
        case.validate_response(response, checks=[not_a_server_error, response_schema_conformance])
        if response.status_code >= 400:
            error = json.loads(response.content)
            assert list(error) == ["error"]
            assert type(error["error"]) is str

    answers()
