"""``modelserver infer``: call a model on a running server, over the protocol of one's choice."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from modelserver.cli import inputs
from modelserver.cli.flags import Parser
from modelserver.errors import Code, InvalidInput, ModelServerError
from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.metadata import ModelMetadata, TensorMetadata
from modelserver.protocols import jsonlib, v1, v2_rest

PROTOCOLS = ("v1", "v2", "v2-binary", "grpc")


class Client(Protocol):
    """What the clients of every protocol offer."""

    async def infer(self, request: InferRequest) -> InferResponse:
        """The model's answer."""

    async def model_metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """What the model declares."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the command line says it. ``timeout`` is in seconds."""

    target: str
    protocol: str
    model: str
    version: str | None
    timeout: float
    body: bytes
    form: inputs.Form


def run(argv: Sequence[str]) -> int:
    """Print the answer as JSON and return 0; a failure is one line on stderr and 1."""
    parser = _parser()
    try:
        call = _call(parser, parser.read(argv))
        answer = asyncio.run(_answer(call))
    except (ModelServerError, OSError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(answer.decode())
    return 0


def _parser() -> Parser:
    parser = Parser("modelserver infer", "Call a model on a running server and print its answer as JSON.")
    parser.add_argument("target", metavar="TARGET", help="http://host:port, or host:port")
    parser.add_argument("--model", metavar="NAME", help="the model's name")
    parser.add_argument("--model-version", "--version", metavar="V", help="its version (not on v1; default the latest)")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default v2", metavar="|".join(PROTOCOLS))
    parser.add_argument(
        "--input", metavar="FILE", help="a .json, .csv or .npy file; - reads JSON or .npy from standard input"
    )
    parser.add_argument("--data", metavar="JSON", help="a list of instances, a v1 body or a v2 body")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="default 60")
    return parser


def _call(parser: Parser, given: dict[str, str]) -> Call:
    if "model" not in given:
        parser.error("--model: missing, expected a model's name")
    if ("input" in given) == ("data" in given):
        parser.error("expected one of --input FILE and --data JSON")
    protocol = given.get("protocol", "v2")
    version = given.get("model_version")
    if protocol == "v1" and version is not None:
        parser.error(f"--version: got {version!r}, but v1 has no versions; expected --protocol v2 or grpc")
    path = given.get("input", "")
    if "data" in given:
        body = given["data"].encode()
    else:
        body = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    form: inputs.Form = "json" if "data" in given else inputs.form_of(path, body)
    timeout = float(given.get("timeout", 60))
    return Call(given["target"], protocol, given["model"], version, timeout, body, form)


async def _answer(call: Call) -> bytes:
    """The answer's JSON: v1's own, or a v2 response whatever the protocol."""
    client = _client(call)
    try:
        request = await _request(call, client)
        request.model_version = call.version
        request.context = Context(deadline=time.monotonic() + call.timeout)
        response = await client.infer(request)
    finally:
        await client.close()
    if response.json_is_set:
        return jsonlib.dumps(response.json)
    return v2_rest.encode_response(InferRequest(call.model), response)[0]


def _client(call: Call) -> Client:
    if call.protocol == "grpc":
        from modelserver.client.grpc import GrpcClient

        return GrpcClient(call.target.partition("://")[2] or call.target)
    from modelserver.client.rest import RestClient, RestProtocol

    url = call.target if "://" in call.target else f"http://{call.target}"
    try:
        return RestClient(url, cast("RestProtocol", call.protocol), timeout=call.timeout)
    except ValueError as exc:
        raise InvalidInput(str(exc)) from exc


async def _request(call: Call, client: Client) -> InferRequest:
    """The request out of the input; the model's declared inputs give names and datatypes that the input lacks."""
    if call.form == "npy":
        return InferRequest(call.model, inputs.npy_tensors(call.body, await _declared(call, client)))
    if call.form == "csv":
        return InferRequest(call.model, inputs.csv_tensors(call.body, await _declared(call, client)))
    value = inputs.parse_json(call.body)
    if inputs.is_v2_body(value):
        return v2_rest.decode_request(call.body, None, call.model)
    body = inputs.v1_body(value)
    request = v1.request_of(body, call.model)
    if call.protocol != "v1":  # v1 carries the body as it is; the others need its tensors
        request.declared = await _declared(call, client)
        request = InferRequest(call.model, request.inputs, parameters=request.parameters)
    return request


async def _declared(call: Call, client: Client) -> Sequence[TensorMetadata]:
    """What the model declares, nothing when its server has no metadata to give."""
    try:
        return (await client.model_metadata(call.model, call.version)).inputs
    except ModelServerError as exc:
        if call.protocol == "v1" and exc.code is Code.NOT_FOUND:  # a server of v1 alone
            return ()
        raise
