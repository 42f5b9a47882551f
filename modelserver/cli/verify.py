"""``modelserver verify``: the same rows over every wire, one by one and batched, against a direct call."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from modelserver.cli.comparison import EQUAL, difference, spread, stacked, v1_difference
from modelserver.cli.flags import Parser
from modelserver.errors import ModelNotReady, ModelServerError
from modelserver.golden import GoldenRow, read_rows
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import TensorMetadata
from modelserver.model_settings import GOLDEN_NAME
from modelserver.sample import sample_inputs
from modelserver.tensor import Tensor
from modelserver.testing import WIRES, InMemoryServer

#: Asks one model, one way.
Ask: TypeAlias = Callable[[InferRequest], Awaitable[InferResponse]]
#: Rows that are made up when there are none, each of other values.
MADE_UP = (0, 5, 11)
_DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Target:
    """One model and the ways to ask it; the first way is what the others are held against."""

    name: str
    inputs: Sequence[TensorMetadata]
    ways: dict[str, Ask]
    rows: Sequence[GoldenRow]
    #: Where the rows come from, in words.
    source: str


@dataclass(slots=True)
class Verdict:
    """What came out for one model: a line a way, ``single`` and ``batched``; ``ok`` when nothing differs."""

    model: str
    rows: str
    ways: dict[str, dict[str, str]] = field(default_factory=dict)
    golden: str = ""
    ok: bool = True

    def note(self, way: str, form: str, text: str, ok: bool) -> None:
        """Set one cell of the table."""
        self.ways.setdefault(way, {})[form] = text
        self.ok = self.ok and ok


def run(argv: Sequence[str]) -> int:
    """Print a table a model: 0 when every way gives the same, 1 on a difference or an error, 2 for wrong use."""
    parser = Parser(
        "modelserver verify",
        "Ask a model the same rows over every wire, one by one and batched, and compare the answers bit for bit.",
    )
    parser.add_argument("target", metavar="PATH|URL", help="what serve takes, or http://host:port of a running server")
    parser.add_argument("--model", metavar="NAME", help="the model; all of them at a PATH when not given")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="gRPC of a running server; not asked when not given")
    parser.add_argument("--rows", metavar="FILE", help="golden rows; made up from the metadata when there are none")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.read(argv)
    if "://" in given["target"] and "model" not in given:
        parser.error("--model: missing, expected a model's name")
    try:
        verdicts = asyncio.run(_verify(given))
    except (ModelServerError, OSError, ValueError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    if "json" in given:
        print(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
    else:
        print("\n\n".join(map(table, verdicts)))
    return int(not all(verdict.ok for verdict in verdicts))


async def _verify(given: dict[str, Any]) -> list[Verdict]:
    rows = read_rows(Path(given["rows"])) if "rows" in given else None
    source = Path(given["rows"]).name if "rows" in given else ""
    targets = _running(given, rows, source) if "://" in given["target"] else _at_path(given, rows, source)
    async with targets as found:
        return [await verdict_of(target) for target in found]


@asynccontextmanager
async def _at_path(given: dict[str, Any], rows: list[GoldenRow] | None, source: str) -> AsyncIterator[list[Target]]:
    async with InMemoryServer(given["target"]) as server:
        dataplane = server.composition.dataplane
        names = [given["model"]] if "model" in given else dataplane.models()
        if not names:
            raise ValueError(f"{given['target']}: there are no models")
        targets = []
        for name in names:
            if reason := dataplane.why_model_not_ready(name):
                raise ModelNotReady(name, reason)
            inputs = dataplane.model_metadata(name).inputs
            ways: dict[str, Ask] = {_DIRECT: _one(dataplane.infer)}
            ways |= {wire: _over(server, wire) for wire in WIRES}
            golden = _golden_beside(Path(given["target"]), name) if rows is None else None
            chosen = rows or (read_rows(golden) if golden else None)
            targets.append(_target(name, inputs, ways, chosen, source or GOLDEN_NAME))
        yield targets


def _over(server: InMemoryServer, wire: str) -> Ask:
    return lambda request: server.infer(wire, request)


def _one(ask: Callable[[InferRequest], Awaitable[Any]]) -> Ask:
    async def single(request: InferRequest) -> InferResponse:
        response = await ask(request)
        if not isinstance(response, InferResponse):
            raise ModelServerError("the model streams, which cannot be compared")
        return response

    return single


def _golden_beside(path: Path, name: str) -> Path | None:
    """The golden file of a bare model file, of a model's directory, or of one model of a repository."""
    path = Path(str(path).rpartition(":")[0]) if ".py:" in str(path) else path
    directory = path if path.is_dir() else path.parent
    versions = sorted((directory / name).glob("[0-9]*"), key=lambda each: int(each.name) if each.name.isdigit() else -1)
    places = [directory, directory / name, *versions[-1:]]
    return next((place / GOLDEN_NAME for place in places if (place / GOLDEN_NAME).is_file()), None)


@asynccontextmanager
async def _running(given: dict[str, Any], rows: list[GoldenRow] | None, source: str) -> AsyncIterator[list[Target]]:
    from modelserver.client.rest import RestClient

    url, name = given["target"], given["model"]
    # The one that carries every bit comes first.
    clients: list[tuple[str, Any]] = [
        ("v2-binary", RestClient(url, "v2-binary")),
        ("v1", RestClient(url, "v1")),
        ("v2-json", RestClient(url, "v2")),
    ]
    if "grpc" in given:
        from modelserver.client.grpc import GrpcClient

        clients += [("grpc", GrpcClient(given["grpc"], raw=False)), ("grpc-raw", GrpcClient(given["grpc"], raw=True))]
    try:
        metadata = await clients[0][1].model_metadata(name)
        yield [_target(name, metadata.inputs, {way: client.infer for way, client in clients}, rows, source)]
    finally:
        for _, client in clients:
            await client.close()


def _target(
    name: str, inputs: Sequence[TensorMetadata], ways: dict[str, Ask], rows: list[GoldenRow] | None, source: str
) -> Target:
    if rows:
        return Target(name, inputs, ways, rows, source)
    if not inputs:
        raise ValueError(f"model {name} declares no inputs to make rows from: give it --rows FILE")
    made = [
        GoldenRow(
            f"row {number}",
            [{"name": t.name, "datatype": t.datatype, "data": t.data} for t in sample_inputs(inputs, first)],
        )
        for number, first in enumerate(MADE_UP, 1)
    ]
    return Target(name, inputs, ways, made, "made up from the metadata")


async def verdict_of(target: Target) -> Verdict:
    """Ask everything every way."""
    requests = [_tensors(row, target) for row in target.rows]
    verdict = Verdict(target.name, f"{len(requests)} rows, {target.source}")
    reference = next(iter(target.ways))
    ask = target.ways[reference]
    singles = [(await ask(InferRequest(target.name, tensors))).outputs for tensors in requests]
    verdict.note(reference, "single", "reference", ok=True)
    for row, outputs in zip(target.rows, singles, strict=True):
        if found := row.difference(InferResponse(outputs)):
            verdict.golden, verdict.ok = f"{row.where}: {found}", False
            break
    together = _batch(requests, target.inputs)
    whole: Sequence[Tensor] | None = None
    if together is None:
        verdict.note(reference, "batched", "rows cannot be batched", ok=True)
    else:
        whole = (await ask(InferRequest(target.name, together))).outputs
        verdict.note(reference, "batched", *_against_singles(singles, whole))
    for way, other in target.ways.items():
        if way == reference:
            continue
        verdict.note(way, "single", *await _compare(way, other, target.name, requests, singles))
        if together is not None and whole is not None:
            verdict.note(way, "batched", *await _compare(way, other, target.name, [together], [whole]))
    return verdict


def _tensors(row: GoldenRow, target: Target) -> list[Tensor]:
    request = row.request(target.name, target.inputs)
    request.declared = target.inputs
    return request.inputs


async def _compare(
    way: str, ask: Ask, name: str, requests: Sequence[list[Tensor]], expected: Sequence[Sequence[Tensor]]
) -> tuple[str, bool]:
    for number, (tensors, outputs) in enumerate(zip(requests, expected, strict=True), 1):
        where = f"row {number}: " if len(requests) > 1 else ""
        try:
            response = await ask(InferRequest(name, list(tensors)))
        except ModelServerError as exc:
            return f"{where}{exc.message}", False
        found = v1_difference(outputs, response) if way == "v1" else difference(outputs, response.outputs)
        if found:
            return where + found, False
    return EQUAL, True


def _against_singles(singles: Sequence[Sequence[Tensor]], whole: Sequence[Tensor]) -> tuple[str, bool]:
    expected = stacked(singles)
    if expected is None or len(expected) != len(whole):
        return "reference (outputs have no rows)", True
    if not difference(expected, whole):
        return f"{EQUAL} to the single rows", True
    largest, found = spread(expected, whole)
    if found:
        return f"not the single rows: {found}", False
    return f"the single rows, but for rounding ({largest:.1g})", True


def _batch(requests: Sequence[list[Tensor]], declared: Sequence[TensorMetadata]) -> list[Tensor] | None:
    """The rows as one request; ``None`` when an input has no axis for them."""
    fixed = {metadata.name for metadata in declared if not metadata.shape or metadata.shape[0] != -1}
    if len(requests) < 2 or any(tensor.data.ndim == 0 or tensor.name in fixed for tensor in requests[0]):
        return None
    names = [tensor.name for tensor in requests[0]]
    if any([tensor.name for tensor in tensors] != names for tensors in requests):
        return None
    try:
        return [
            Tensor(name, np.concatenate([tensors[index].data for tensors in requests]), requests[0][index].datatype)
            for index, name in enumerate(names)
        ]
    except ValueError:
        return None


def table(verdict: Verdict) -> str:
    """The verdict as text: a line a way."""
    lines = [("WAY", "SINGLE", "BATCHED")]
    lines += [(way, cells.get("single", ""), cells.get("batched", "")) for way, cells in verdict.ways.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(2)]
    rows = [f"{way:<{widths[0]}}  {single:<{widths[1]}}  {batched}".rstrip() for way, single, batched in lines]
    golden = [f"golden: {verdict.golden}"] if verdict.golden else []
    return "\n".join([f"{verdict.model}: {verdict.rows}", *rows, *golden])
