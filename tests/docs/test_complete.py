"""What a user can meet is documented: something new that is in no page is a red test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import modelserver
from modelserver import InferRequest, Model, Tensor, errors, testing
from modelserver.engine import dispatch
from modelserver.engine.repository import FIRST_VERSION
from modelserver.errors import Code, ModelServerError, code_of_status
from modelserver.protocols.v2_metadata import EXTENSIONS
from modelserver.servers import grpc, rest
from modelserver.servers.grpc_calls import SERVICE
from modelserver.telemetry.snapshot import STATES
from modelserver.testing import WIRES, InMemoryServer
from tests.docs.pages import ROOT, prose

REFERENCE = ROOT / "docs/reference"
PROTOCOLS = ROOT / "docs/protocols"


def section(page: Path, heading: str) -> str:
    """The part of a page under a heading of the second level."""
    return prose(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of a page's tables, without their backticks."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


class Everything(Model):
    properties = MappingProxyType({"engines": "mine"})

    def predict(self, request: InferRequest) -> object:
        return {"y": request.array()}

    def explain(self, request: InferRequest) -> object:
        return {"y": request.array()}


def test_the_table_of_codes_is_the_doors_tables() -> None:
    expected = {code.value: (str(rest.STATUS[code]), grpc.STATUS[code].name) for code in Code}

    documented = {row[0]: (row[1], row[2]) for row in rows(section(REFERENCE / "errors.md", "Codes"))}
    documented.pop("code")

    assert documented == expected


def test_the_table_of_statuses_is_the_codes_own() -> None:
    documented = {
        int(row[0]): row[1]
        for row in rows(section(REFERENCE / "errors.md", "A status of your own"))
        if row[0].isdecimal()
    }
    default = {True: Code.INVALID_ARGUMENT, False: Code.INTERNAL}

    assert documented == {
        status: code_of_status(status).value
        for status in range(400, 600)
        if status in documented or code_of_status(status) is not default[status < 500]
    }


def test_every_exception_is_documented_with_its_code() -> None:
    expected = {
        name: kind.default.value
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ModelServerError)
    }

    documented = {row[0]: row[1] for row in rows(section(REFERENCE / "errors.md", "Exceptions"))}
    documented.pop("exception")

    assert documented == expected


async def test_every_metric_is_documented_with_its_kind_and_labels() -> None:
    async with InMemoryServer([Everything("m")]) as server:
        for wire in WIRES:
            await server.infer(wire, InferRequest("m", [Tensor("x", [1.0])]))
        await server.request("POST", "/v1/models/m:explain", {"instances": [1.0]})
        page = (await server.request("GET", "/metrics")).body.decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    labels = {name: set(re.findall(rf"^{name}(?:_count)?\{{(.*)\}}", page, re.MULTILINE)) for name in kinds}
    ours = {
        name: (kind, frozenset(label for found in labels[name] for label in re.findall(r"(\w+)=", found)))
        for name, kind in kinds.items()
        if name.startswith(("modelserver_", "request_"))
    }

    documented = {
        row[0]: (row[1], frozenset(re.findall(r"\w+", row[2])))
        for row in rows(prose(REFERENCE / "metrics.md"))
        if row[0] != "metric"
    }

    assert documented == ours


def test_every_state_of_a_model_is_documented() -> None:
    metrics, glossary = prose(REFERENCE / "metrics.md"), prose(ROOT / "docs/glossary.md")

    assert [state for state in STATES if f"`{state}`" not in metrics or state not in glossary] == []


async def test_every_rest_route_is_documented() -> None:
    async with InMemoryServer([Everything("m")]) as server:
        paths = (await server.request("GET", "/openapi.json")).json()["paths"]
    text = "".join(prose(page) for page in (PROTOCOLS / "v1.md", PROTOCOLS / "v2-rest.md", ROOT / "README.md"))
    routes = {
        (method.upper(), path.replace("{model}", "M").replace("{version}", "V").replace("/models/m", "/models/M"))
        for path, operations in paths.items()
        for method in operations
    }
    aliases = {("GET", path) for path in ("/healthz", "/livez", "/readyz") if f"`{path}`" in text}

    assert [route for route in routes - aliases if f"`{' '.join(route)}`" not in text] == []


async def test_every_rpc_is_documented() -> None:
    async with InMemoryServer([Everything("m")]) as server:
        door = server.composition.grpc
        assert door is not None
        methods = [*door.calls.unary_methods, f"/{SERVICE}/ModelStreamInfer"]
    text = prose(PROTOCOLS / "v2-grpc.md")

    assert [method for method in methods if f"`{method.rpartition('/')[2]}`" not in text] == []


def test_every_extension_is_documented() -> None:
    text = prose(PROTOCOLS / "v2-rest.md")

    assert [name for name in EXTENSIONS if f"`{name}`" not in text] == []


def test_every_public_name_is_documented() -> None:
    page = REFERENCE / "python.md"

    documented = [row[0] for row in rows(section(page, "modelserver"))]
    assert [name for name in modelserver.__all__ if name not in documented] == []
    for row in list(rows(section(page, "modelserver.testing")))[1:]:
        assert hasattr(testing, row[0]), row[0]


def test_every_module_has_its_place_in_the_overview() -> None:
    package = ROOT / "modelserver"
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

    documented = {row[0] for row in rows(section(ROOT / "docs/architecture/00-overview.md", "Rooms"))}

    assert (modules | rooms) - documented == set()


def test_every_target_of_the_makefile_is_documented() -> None:
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = prose(ROOT / "CONTRIBUTING.md")

    assert [target for target in targets if f"`make {target}`" not in text] == []


def test_the_figures_of_dispatch_are_the_code_s() -> None:
    text = " ".join(section(ROOT / "docs/architecture/01-request.md", "Where `predict` runs").split())

    for figure in (
        f"After {dispatch.RECORD} calls in a row below {dispatch.SHORT * 1e3:g} ms",
        f"One call above {dispatch.SLOW * 1e3:g} ms",
        f"{dispatch.FORGIVEN} short calls",
    ):
        assert figure in text


def test_the_first_version_is_the_one_that_the_pages_say() -> None:
    assert FIRST_VERSION == "1"
