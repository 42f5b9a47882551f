"""Metrics and logs say which version answered, whatever the protocol, also where the client named none."""

from __future__ import annotations

import pytest

from modelserver import InferRequest, Model, Tensor
from modelserver.testing import WIRES, InMemoryServer


class Echo(Model):
    def predict(self, request: InferRequest) -> object:
        return request.array()


@pytest.mark.parametrize("wire", WIRES)
async def test_the_version_that_answered_is_counted(wire: str) -> None:
    async with InMemoryServer([Echo("echo")]) as server:
        await server.infer(wire, InferRequest("echo", [Tensor("x", [1.0])]))
        page = (await server.request("GET", "/metrics")).body.decode()

    protocol = "grpc" if wire.startswith("grpc") else wire.partition("-")[0]
    labels = f'code="OK",method="predict",model="echo",protocol="{protocol}",version="1"'
    assert f"modelserver_requests_total{{{labels}}} 1.0" in page
