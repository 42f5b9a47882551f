"""``benchmarks/README.md`` from ``benchmarks/results/*.json``: ``python benchmarks/render.py``.

Figures on the page come from the results and from nowhere else; run a benchmark, then this.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

TOP = """# Benchmarks

This page is made by `benchmarks/render.py` from `benchmarks/results/`. Do not edit it.

The load generators are `wrk` and `h2load` (Debian packages `wrk` and `nghttp2-client`); they run on the same machine
as the servers. A run with a failed request is not published.
"""


def facts(result: dict[str, Any]) -> str:
    """Date, machine and versions, which every result has on top."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"- Date: {result['date']}\n"
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}\n"
        f"- Versions: {versions}\n"
    )


def micro(result: dict[str, Any]) -> str:
    """What the server itself costs: ours against a bare one, for a model that does nothing."""
    method = result["method"]
    rows = "\n".join(
        f"| {each['name']} | {each['floor']['rate']:,.0f} | {each['ours']['rate']:,.0f}"
        f" | {each['ratio']:.2f} | {each['target']:.2f} |"
        for each in result["results"]
    )
    return f"""## What the server itself costs (`micro/`)

A model that returns its input, one worker, default settings (access log and metrics on), one row of four numbers.
The floor of both REST rows is a bare ASGI application under uvicorn (uvloop, httptools) that parses and answers the
same JSON with orjson; gRPC's is a bare `grpc.aio` handler that parses the same message and serialises the same answer.

{facts(result)}- Method: {method["rounds"]} rounds of {method["seconds"]} s each, floor and ours in turns; medians.
  REST: {method["rest_connections"]} connections. gRPC: {method["grpc_connections"]} connections with
  {method["grpc_calls_per_connection"]} calls in flight each. Answers are compared before the first round.

| | floor, requests/s | ours, requests/s | ratio | target |
|---|---:|---:|---:|---:|
{rows}

Again on your machine: `python benchmarks/micro/run.py && python benchmarks/render.py`
"""


def responsiveness(result: dict[str, Any]) -> str:
    """Whether it answers while it is busy and while it stops."""
    stopping = result["stopping"]
    rows = "\n".join(
        f"| {what} | {result[key]['requests']:,} | {result[key]['p50_ms']:.2f} | {result[key]['p99_ms']:.2f}"
        f" | {result[key]['max_ms']:.2f} |"
        for what, key in (("sleeps", "sleeping"), ("computes, holding the GIL", "computing"))
    )
    return f"""## Answering while busy, and while stopping (`responsiveness/`)

`GET /v2/health/live`, one after another on one connection, while a sync predict of 2 s runs in the same process.

{facts(result)}
| the predict | requests | p50, ms | p99, ms | largest, ms |
|---|---:|---:|---:|---:|
{rows}

SIGTERM with {stopping["in_flight"]} requests in flight, from a client that goes on until the server says that it is not
ready: {stopping["sent"]:,} requests sent, {stopping["failed"]} failed, exit code {stopping["exit_code"]}.

Again on your machine: `python benchmarks/responsiveness/run.py && python benchmarks/render.py`
"""


def pytorch(result: dict[str, Any]) -> str:
    """What serving adds to a PyTorch model's own call."""
    rows = "\n".join(
        f"| {each['name']} | {each['direct_us']:,.1f} | {each['served_us']:,.1f} |" for each in result["results"]
    )
    return f"""## PyTorch's predict stage (`pytorch/`)

An exported program, FP32, batch of 1: a direct call of its module in inference mode, and the predict stage of a request
as Server-Timing reports it. One process, {result["method"]["threads"]} threads, in turns; medians of
{result["method"]["rounds"]} rounds of {result["method"]["calls"]} calls. Target: at most 5 % or 20 us over the direct
call.

{facts(result)}
| | direct call, us | predict stage, us |
|---|---:|---:|
{rows}

Again on your machine: `python benchmarks/pytorch/run.py && python benchmarks/render.py`
"""


def acceleration(result: dict[str, Any]) -> str:
    """What a runtime's predict costs against the framework's own call."""
    method = result["method"]
    rows = "\n".join(
        f"| {each['name']} | `{each['call']}` | {each['rows']:,} | {each['framework_us']:,.0f} | {each['ours_us']:,.0f}"
        f" | {each['ratio']:.1f} | {each['target'] or ''} | {'bit for bit' if each['bit_equal'] else 'within 1e-12'} |"
        for each in result["results"]
    )
    return f"""## Engines beside the framework (`acceleration/`)

The whole `predict` of a runtime (a request in, arrays out) against the framework's own call for the same rows, in one
process. 30 features; which engine serves which batch sizes was decided when the model was loaded, as it always is
([how](../docs/how-to/acceleration.md)).

{facts(result)}- Method: {method["rounds"]} rounds of {method["seconds"]} s each, framework and ours in turns; medians.
  {method["threads"]} thread for either.

| model | the framework's call | rows | framework, us | ours, us | times faster | target | answers are equal |
|---|---|---:|---:|---:|---:|---:|---|
{rows}

Again on your machine: `python benchmarks/acceleration/run.py && python benchmarks/render.py`
"""


#: The sections of the page in their order: the result's file name and who writes about it.
SECTIONS = {"micro": micro, "responsiveness": responsiveness, "pytorch": pytorch}


def page(results: Path = HERE / "results") -> str:
    """The whole page, with a section for each result there is."""
    sections = [TOP]
    for name, section in SECTIONS.items():
        file = results / f"{name}.json"
        if file.exists():
            sections.append(section(json.loads(file.read_text())))
    return "\n".join(sections)


if __name__ == "__main__":
    (HERE / "README.md").write_text(page())
