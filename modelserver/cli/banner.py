"""What ``modelserver serve`` prints when it is ready: the models, and calls to paste into a shell."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelserver.datatypes import DTYPES, pack_bytes
from modelserver.metadata import ModelMetadata, TensorMetadata
from modelserver.protocols.v2_grpc_contents import FIELDS

if TYPE_CHECKING:
    from modelserver.engine.dataplane import DataPlane
    from modelserver.server import ModelServer

# A body of more elements than this is made by a line of Python, for a screen has no room for an image.
LARGEST_INLINE = 64
MOST_MODELS = 20
ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not bound
# What stands in for the inputs of a model that declares none.
GENERIC = (TensorMetadata(name="input-0", datatype="FP32", shape=[-1, 3]),)


@dataclass(frozen=True, slots=True)
class Fill:
    """A nested list of one value: expanded in JSON, a multiplication in Python."""

    value: object
    shape: tuple[int, ...]

    def expanded(self) -> object:
        """The nested list."""
        nested = self.value
        for size in reversed(self.shape):
            nested = [nested] * size
        return nested

    def __repr__(self) -> str:
        text = repr(self.value)
        for size in reversed(self.shape):
            text = f"[{text}]" if size == 1 else f"[{text}] * {size}"
        return text


@dataclass(frozen=True, slots=True)
class Raw:
    """Raw contents of ``count`` equal elements, in the base64 of protobuf's JSON."""

    element: bytes
    count: int

    def expanded(self) -> object:
        """The base64."""
        return base64.b64encode(self.element * self.count).decode()

    def __repr__(self) -> str:
        return f"__import__('base64').b64encode({self.element!r} * {self.count}).decode()"


def banner(models: Sequence[ModelMetadata], rest: str, grpc: str | None) -> str:
    """The whole text; ``rest`` is a base URL, ``grpc`` a host:port or ``None`` when it is not served."""
    doors = f"REST on {rest}" + (f", gRPC on {grpc}" if grpc else "")
    lines = [f"Ready: {doors}"]
    for model in models[:MOST_MODELS]:
        lines += ["", *_summary(model)]
    if len(models) > MOST_MODELS:
        lines += ["", f"and {len(models) - MOST_MODELS} models more: {rest}/v1/models"]
    if models:
        lines += ["", *_calls(models[0], rest, grpc)]
    return "\n".join(lines)


def _summary(model: ModelMetadata) -> list[str]:
    versions = ", ".join(model.versions) or "1"
    lines = [f"{model.name}  version {versions}" + (f"  {model.platform}" if model.platform else "")]
    for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
        lines += [
            f"  {kind:<6} {t.name}  {t.datatype} {list(t.shape)}" + ("  optional" if t.optional else "")
            for t in tensors
        ]
    return lines


def _calls(model: ModelMetadata, rest: str, grpc: str | None) -> list[str]:
    inputs = [tensor for tensor in model.inputs if not tensor.optional] or GENERIC
    small = sum(map(_count, inputs)) <= LARGEST_INLINE
    v1 = v1_example(inputs)
    curl = "curl -H 'Content-Type: application/json' -d {} " + rest
    lines = [f"Calls to paste, with example values for {model.name}:"]
    if not model.inputs:
        lines.append("(the model declares no inputs: put its own in place of these)")
    lines += ["", "# v1 REST", _call(f"{curl}/v1/models/{model.name}:predict", v1, small)]
    lines += ["", "# v2 REST", _call(f"{curl}/v2/models/{model.name}/infer", v2_example(inputs), small)]
    target = rest
    if grpc:
        message = {"model_name": model.name, **grpc_example(inputs)}
        command = f"grpcurl -plaintext -d {{}} {grpc} inference.GRPCInferenceService/ModelInfer"
        lines += ["", "# v2 gRPC", _call(command, message, small, "@")]
        target = f"{grpc} --protocol grpc"
    command = f"modelserver infer {target} --model {shlex.quote(model.name)} " + ("--data {}" if small else "{}")
    lines += ["", "# with this program", _call(command, v1, small, "--input -")]
    return lines


def v1_example(inputs: Sequence[TensorMetadata]) -> dict[str, object]:
    """A v1 body: instances where each input is a batch, else the named inputs."""
    if len(inputs) == 1:
        return {"instances": Fill(_value(inputs[0]), _shape(inputs[0]))}
    if all(len(t.shape) > 0 and t.shape[0] == -1 for t in inputs):
        return {"instances": [{t.name: Fill(_value(t), _shape(t)[1:]) for t in inputs}]}
    return {"inputs": {t.name: Fill(_value(t), _shape(t)) for t in inputs}}


def v2_example(inputs: Sequence[TensorMetadata]) -> dict[str, object]:
    """A v2 REST body, its data flat."""
    return {
        "inputs": [
            {"name": t.name, "shape": list(_shape(t)), "datatype": t.datatype, "data": Fill(_value(t), (_count(t),))}
            for t in inputs
        ]
    }


def grpc_example(inputs: Sequence[TensorMetadata]) -> dict[str, object]:
    """A ModelInferRequest in protobuf's JSON; raw contents where a datatype has no typed ones."""
    heads = [{"name": t.name, "datatype": t.datatype, "shape": list(_shape(t))} for t in inputs]
    if any(t.datatype not in FIELDS for t in inputs):
        return {"inputs": heads, "raw_input_contents": [Raw(_element(t), _count(t)) for t in inputs]}
    filled: list[dict[str, object]] = []
    for head, t in zip(heads, inputs, strict=True):
        value = base64.b64encode(b"text").decode() if t.datatype == "BYTES" else _value(t)
        filled.append({**head, "contents": {FIELDS[t.datatype]: Fill(value, (_count(t),))}})
    return {"inputs": filled}


def _call(command: str, body: object, small: bool, stdin: str = "@-") -> str:
    """``command`` with its body in place of ``{}``; a large one is made by Python and piped into it."""
    if small:
        return command.replace("{}", shlex.quote(json.dumps(body, default=_expanded)))
    source = f"import json; print(json.dumps({body!r}))"
    quoted = shlex.quote(source) if any(mark in source for mark in '"$`\\!') else f'"{source}"'
    return f"python3 -c {quoted} | " + command.replace("{}", stdin)


def _expanded(leaf: Fill | Raw) -> object:
    return leaf.expanded()


def _value(t: TensorMetadata) -> object:
    if t.datatype == "BYTES":
        return "text"
    if t.datatype == "BOOL":
        return True
    return 1.0 if t.datatype.startswith(("FP", "BF")) else 1


def _element(t: TensorMetadata) -> bytes:
    return pack_bytes([b"text"]) if t.datatype == "BYTES" else DTYPES[t.datatype].type(1).tobytes()


def _shape(t: TensorMetadata) -> tuple[int, ...]:
    return tuple(1 if size < 0 else size for size in t.shape)


def _count(t: TensorMetadata) -> int:
    return math.prod(_shape(t))


def print_banner(server: ModelServer, dataplane: DataPlane) -> None:
    """Print the banner of what ``dataplane`` has ready; nothing where the log is JSON, for that is read by programs."""
    settings = server.settings
    if settings.log_format == "json":
        return
    names = dict.fromkeys(entry.name for entry in dataplane.index(ready=True))
    host = "localhost" if settings.host in ANY_ADDRESS else settings.host
    host = f"[{host}]" if ":" in host else host
    rest = f"http://{host}:{server.http_port}"
    grpc = f"{host}:{server.grpc_port}" if settings.enable_grpc else None
    print(banner([dataplane.model_metadata(name) for name in names], rest, grpc), flush=True)
