"""Every datatype and shape goes through every codec and comes back, both directions, bit for bit where it can."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelserver import InferRequest, InferResponse, Tensor
from modelserver.protocols import v1, v2_grpc, v2_rest
from tests.properties.strategies import names, parameters, several, tensors


def assert_same(expected: list[Tensor], actual: list[Tensor], *, bits: bool = True) -> None:
    assert [t.name for t in expected] == [t.name for t in actual]
    for one, other in zip(expected, actual, strict=True):
        assert one.datatype == other.datatype
        assert one.shape == other.shape
        assert {**other.parameters, **one.parameters} == other.parameters
        if bits:
            assert bytes(one.to_buffer()) == bytes(other.to_buffer())
        else:
            np.testing.assert_array_equal(one.data.astype(float), other.data.astype(float))


@given(several(), parameters, st.booleans())
def test_grpc_requests(inputs: list[Tensor], given_parameters: dict[str, object], raw: bool) -> None:
    sent = InferRequest("m", inputs, id="7", parameters=given_parameters)  # type: ignore[arg-type]
    received = v2_grpc.decode_request(v2_grpc.encode_request(sent, raw=raw))
    assert_same(inputs, received.inputs)
    assert (received.model_name, received.id, received.parameters) == ("m", "7", given_parameters)


@given(several(), parameters, st.booleans())
def test_grpc_responses(outputs: list[Tensor], given_parameters: dict[str, object], raw: bool) -> None:
    request = InferRequest("m")
    request.binary_outputs = raw
    response = InferResponse(outputs, parameters=given_parameters, model_name="m", id="7")  # type: ignore[arg-type]
    received = v2_grpc.decode_response(v2_grpc.encode_response(request, response))
    assert_same(outputs, list(received.outputs))
    assert (received.id, received.parameters) == ("7", given_parameters)


@given(several(), parameters)
def test_v2_binary_requests(inputs: list[Tensor], given_parameters: dict[str, object]) -> None:
    sent = v2_rest.encode_request(InferRequest("m", inputs, id="7", parameters=given_parameters), binary=True)  # type: ignore[arg-type]
    received = v2_rest.decode_request(sent.body, int(sent.headers[v2_rest.HEADER_LENGTH]), "m")
    assert_same(inputs, received.inputs)
    assert (received.id, received.parameters, received.binary_outputs) == ("7", given_parameters, True)


@given(several(), parameters)
def test_v2_binary_responses(outputs: list[Tensor], given_parameters: dict[str, object]) -> None:
    request = InferRequest("m")
    request.binary_outputs = True
    response = InferResponse(outputs, parameters=given_parameters, model_name="m", id="7")  # type: ignore[arg-type]
    received = v2_rest.decode_response(*v2_rest.encode_response(request, response))
    assert_same(outputs, list(received.outputs))
    assert received.parameters == given_parameters


@given(several(finite=True), parameters)
def test_v2_json_requests(inputs: list[Tensor], given_parameters: dict[str, object]) -> None:
    sent = v2_rest.encode_request(InferRequest("m", inputs, parameters=given_parameters))  # type: ignore[arg-type]
    received = v2_rest.decode_request(sent.body, None, "m")
    assert_same(inputs, received.inputs)
    assert received.parameters == given_parameters


@given(several(finite=True), parameters)
def test_v2_json_responses(outputs: list[Tensor], given_parameters: dict[str, object]) -> None:
    response = InferResponse(outputs, parameters=given_parameters, model_name="m", id="7")  # type: ignore[arg-type]
    received = v2_rest.decode_response(*v2_rest.encode_response(InferRequest("m"), response))
    assert_same(outputs, list(received.outputs))
    assert received.parameters == given_parameters


@given(tensors(datatypes=["FP16", "BF16", "FP32", "FP64"]))
def test_v2_json_says_null_for_what_is_no_number(tensor: Tensor) -> None:
    received = v2_rest.decode_response(*v2_rest.encode_response(InferRequest("m"), InferResponse([tensor])))
    wide = tensor.data.astype(float)
    np.testing.assert_array_equal(received.outputs[0].data.astype(float), np.where(np.isfinite(wide), wide, np.nan))


V1 = ["INT64", "FP64", "BOOL", "BYTES"]


@given(tensors(finite=True, datatypes=V1).filter(lambda tensor: tensor.data.ndim and tensor.data.size))
def test_v1_requests_of_the_datatypes_that_json_has(tensor: Tensor) -> None:
    sent = v1.encode_request(InferRequest("m", [tensor]))
    received = v1.decode_request(sent.body, sent.headers["content-type"], "m").array()
    assert tensor.shape == received.shape
    assert tensor.data.ravel().tolist() == received.ravel().tolist()


@given(tensors(finite=True, datatypes=V1).filter(lambda tensor: tensor.data.ndim and tensor.data.size))
def test_v1_responses_of_the_datatypes_that_json_has(tensor: Tensor) -> None:
    body, _ = v1.encode_response(InferRequest("m"), InferResponse([tensor]))
    received = v1.decode_response(body).outputs[0]
    assert tensor.shape == received.shape
    assert tensor.data.ravel().tolist() == received.data.ravel().tolist()


@given(names, st.sampled_from(["INT8", "UINT64", "FP16", "FP32", "BF16"]), st.data())
def test_v1_is_read_in_the_datatype_that_the_model_declares(name: str, datatype: str, data: st.DataObject) -> None:
    from modelserver import TensorMetadata

    one = tensors(finite=True, datatypes=[datatype]).filter(lambda tensor: tensor.data.ndim and tensor.data.size)
    tensor = data.draw(one)
    sent = v1.encode_request(InferRequest("m", [tensor]))
    received = v1.decode_request(sent.body, sent.headers["content-type"], "m")
    received.declared = [TensorMetadata(name, datatype, [-1] * tensor.data.ndim)]
    assert bytes(tensor.to_buffer()) == bytes(received.inputs[0].to_buffer())
