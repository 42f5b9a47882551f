"""`modelserver serve` as a real process, called by what it prints and by `modelserver infer`."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelserver.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MODEL = f"{HERE / 'doubler.py'}:Doubler"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class Served:
    """A running `modelserver serve`, and the banner that it printed when it was ready."""

    def __init__(self, *argv: str) -> None:
        command = [sys.executable, "-W", "error", "-m", "modelserver", "serve", MODEL, *argv]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert self.process.stdout is not None
        self.banner: list[str] = []
        while not any(line.startswith("modelserver infer") for line in self.banner):
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"ended with {self.process.wait()} before it was ready")
            self.banner.append(line.rstrip("\n"))
        doors = re.match(r"Ready: REST on (\S+), gRPC on (\S+)", self.banner[0])
        assert doors is not None
        self.rest, self.grpc = doors.groups()

    def target(self, protocol: str) -> str:
        return self.grpc if protocol == "grpc" else self.rest

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()
        return self.process.returncode


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served("--model_name", "d", "--host", "127.0.0.1", "--http-port", "0", "--grpc_port=0", "--lame-duck=0")
    try:
        yield server
    finally:
        assert server.stop() == 0


def infer(served: Served, protocol: str, *argv: str) -> int:
    return main(["infer", served.target(protocol), "--model", "d", "--protocol", protocol, *argv])


def answer(text: str) -> list[list[float]]:
    """The answer's rows, of v1 or v2."""
    found = json.loads(text)
    if "predictions" in found:
        return found["predictions"]
    [output] = found["outputs"]
    return np.array(output["data"]).reshape(output["shape"]).tolist()


PROTOCOLS = ["v1", "v2", "v2-binary", "grpc"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "data",
    [
        "[[1, 2.5]]",
        '{"instances": [[1, 2.5]]}',
        '{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2.5]}]}',
    ],
)
def test_json_over_every_protocol(served: Served, protocol: str, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert infer(served, protocol, "--data", data) == 0
    assert answer(capsys.readouterr().out) == [[2.0, 5.0]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["rows.csv", "named.csv", "rows.npy", "rows.json"])
def test_files_over_every_protocol(
    served: Served, protocol: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    if name.endswith("npy"):
        np.save(file, np.array([[1, 2], [3, 4]], dtype=np.int64))
    else:
        file.write_text({"rows.csv": "1,2\n3,4\n", "named.csv": "a,b\n1,2\n3,4\n"}.get(name, "[[1, 2], [3, 4]]"))

    assert infer(served, protocol, "--input", str(file)) == 0
    assert answer(capsys.readouterr().out) == [[2, 4], [6, 8]]


def test_standard_input(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[[1, 2]]")))

    assert infer(served, "v2", "--input", "-") == 0
    assert answer(capsys.readouterr().out) == [[2, 4]]


def test_a_version_and_a_target_without_a_scheme(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    target = served.rest.removeprefix("http://")

    assert main(["infer", target, "--model", "d", "--version", "1", "--data", "[[1, 2]]"]) == 0
    assert answer(capsys.readouterr().out) == [[2, 4]]


@pytest.mark.parametrize("tool", ["curl", "grpcurl", "modelserver"])
def test_the_printed_calls_work(served: Served, tool: str) -> None:
    calls = [line for line in served.banner if line.startswith(tool + " ")]
    assert calls
    if shutil.which(tool) is None and tool != "modelserver":
        pytest.skip(f"{tool} is not installed")
    for call in calls:
        words = shlex.split(call)
        command = [sys.executable, "-m", *words] if tool == "modelserver" else words
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        if tool == "grpcurl":
            assert "outputs" in json.loads(done.stdout)
        else:
            assert answer(done.stdout) == [[2.0, 2.0]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--data", "[[1, 2, 3]]"], "[1, 3]"),
        (["--data", "not json"], "input: "),
        (["--data", "7"], "input: expected a list"),
        (["--input", "nowhere.json"], "No such file or directory: 'nowhere.json'"),
    ],
)
def test_a_failure_is_one_line_and_exit_code_1(
    served: Served, protocol: str, argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert infer(served, protocol, *argv) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"error: [^\n]*\n", printed.err)
    assert text in printed.err


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_that_is_not_there(served: Served, protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["infer", served.target(protocol), "--model", "none", "--protocol", protocol, "--data", "[[1, 2]]"]

    assert main(argv) == 1
    assert capsys.readouterr().err == "error: Model with name none does not exist.\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_not_there(protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{closed.getsockname()[1]}"
        assert main(["infer", target, "--model", "m", "--protocol", protocol, "--data", "[1]"]) == 1

    assert re.fullmatch(r"error: [^\n]*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["t", "--data", "1"], "--model: missing"),
        (["t", "--model", "m"], "expected one of --input FILE and --data JSON"),
        (["t", "--model", "m", "--data", "1", "--input", "f"], "expected one of --input FILE and --data JSON"),
        (["t", "--model", "m", "--data", "1", "--protocol", "v3"], "invalid choice: 'v3'"),
        (["t", "--model", "m", "--data", "1", "--protocol", "v1", "--version", "1"], "v1 has no versions"),
        (["--model", "m", "--data", "1"], "TARGET"),
    ],
)
def test_wrong_use_of_infer_is_exit_code_2(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["infer", *argv])

    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line_and_exit_code_1(served: Served) -> None:
    port = served.rest.rpartition(":")[2]
    command = [sys.executable, "-m", "modelserver", "serve", MODEL, "--http-port", port, "--host", "127.0.0.1"]

    done = subprocess.run([*command, "--grpc-port=0"], capture_output=True, text=True, env=ENVIRONMENT)

    assert done.returncode == 1
    assert f"modelserver serve: [Errno 98] cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_runtimes_main_warns_of_flags_it_does_not_know_and_json_logs_have_no_banner() -> None:
    source = "import sys; from modelserver.cli.serve import run_runtime; sys.exit(run_runtime())"
    flags = ["--http_port=0", "--grpc_port", "0", "--new_flag", "x", "--protocol=v2", "--log-format=json"]
    command = [sys.executable, "-c", source, "--model_dir", MODEL, "--host=127.0.0.1", "--lame_duck=0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stderr is not None
    logged = []
    while not any(line["message"].startswith("ready") for line in logged):
        logged.append(json.loads(process.stderr.readline()))
    process.send_signal(signal.SIGTERM)

    assert process.communicate()[0] == ""
    assert process.returncode == 0
    assert [line["message"] for line in logged if line["level"] == "WARNING"] == [
        "unknown flag --new_flag is ignored",
        "--protocol is accepted for KServe's sake and has no effect",
    ]
