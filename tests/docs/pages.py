"""The documentation as something to run: pages, their code blocks, and a session that goes through them.

The convention is in CONTRIBUTING.md, "Documentation".
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "runtimes").glob("*/README.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
#: A server that is not up by then never will be; no test asserts how long it takes.
PATIENCE = 120

_FENCE = re.compile(r"^(?P<marks>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=marks)[ ]*$", re.DOTALL | re.MULTILINE)
_SERVES = re.compile(r"(modelserver serve|python (?P<script>\S+\.py)$)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: ``language`` and ``words`` are its info string, ``line`` is where its text begins."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name it is saved under, from ``file=NAME``."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def runs(self) -> bool:
        """Whether something is done with it."""
        return bool(self.file) or (self.language in ("python", "console") and "not-run" not in self.words)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        found.append(Block(language, tuple(words), match["text"], text.count("\n", 0, match.start("text")) + 1))
    return found


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


class Session:
    """One page's blocks, run in a directory of their own; 8080 and 8081 stand for free ports."""

    def __init__(self, page: Path, directory: Path) -> None:
        self._page = page
        self._directory = directory
        self._http, self._grpc = _free_ports()
        self._namespace: dict[str, Any] = {"__name__": "page"}
        self._server: Server | None = None
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "MODELSERVER_HTTP_PORT": str(self._http),
            "MODELSERVER_GRPC_PORT": str(self._grpc),
        }

    def run(self) -> None:
        """Every block, in order; ``AssertionError`` names the block that does not do what the page says."""
        todo = blocks(self._page)
        try:
            for block, following in zip(todo, [*todo[1:], None], strict=True):
                if block.file:
                    path = self._directory / block.file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(self._ported(block.text), encoding="utf-8")
                elif block.runs and block.language == "python":
                    expected = following.text if following is not None and "output" in following.words else None
                    self._python(block, expected)
                elif block.runs:
                    self._console(block)
        finally:
            self._stop()

    def _python(self, block: Block, expected: str | None) -> None:
        code = compile("\n" * (block.line - 1) + self._ported(block.text), str(self._page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self._namespace)
        if expected is not None:
            self._compare(f"line {block.line}", self._ported(expected), printed.getvalue())

    def _console(self, block: Block) -> None:
        for command, expected in commands(self._ported(block.text)):
            if self._serves(command):
                self._stop()
                self._server = Server(command, self._directory, self._environment)
                self._server.wait_for(expected)
                continue
            done = subprocess.run(
                command, shell=True, cwd=self._directory, env=self._environment, capture_output=True, text=True
            )
            shown = done.stdout if command.startswith("curl") else done.stdout + done.stderr
            if expected:
                self._compare(command, expected, shown)
            else:
                assert done.returncode == 0, f"$ {command}\n{shown}{done.stderr}"

    def _serves(self, command: str) -> bool:
        match = _SERVES.match(command)
        if match is None or match["script"] is None:
            return match is not None
        return ".serve(" in (self._directory / match["script"]).read_text(encoding="utf-8")

    def _compare(self, what: str, expected: str, actual: str) -> None:
        matches = _pattern(expected).fullmatch(_plain(actual))
        assert matches, f"{self._page.name}: {what}\nexpected:\n{expected}\ngot:\n{actual}"

    def _stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.stop()

    def _ported(self, text: str) -> str:
        return text.replace("8080", str(self._http)).replace("8081", str(self._grpc))


class Server:
    """A running server and everything it has printed."""

    def __init__(self, command: str, directory: Path, environment: dict[str, str]) -> None:
        workers = re.search(r"--workers[ =](\d+)", command)
        self._workers = int(workers[1]) if workers else 1
        self._command = command
        self._printed = ""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            f"exec {command}", shell=True, cwd=directory, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, expected: str) -> None:
        """Wait until it says that it is ready (or why not), and has printed what the page shows."""
        pattern = _pattern(expected)

        def there() -> bool:
            said = self._printed.count("ready after") >= self._workers or "not ready:" in self._printed
            return (said and pattern.search(_plain(self._printed)) is not None) or self._process.poll() is not None

        with self._changed:
            self._changed.wait_for(there, PATIENCE)
            up = self._process.poll() is None and pattern.search(_plain(self._printed))
        assert up, f"$ {self._command}\nexpected:\n{expected}\ngot:\n{self._printed}"

    def stop(self) -> None:
        """SIGTERM; it must leave with 0."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert code == 0, f"$ {self._command} ended with {code}\n{self._printed}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._printed += line
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output that follows it."""
    command, shown = "", ""
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], ""
        elif command.endswith("\\"):
            command = command[:-1] + line.strip()
        else:
            shown += line + "\n"
    if command:
        yield command, shown


def needs_curl(page: Path) -> bool:
    """Whether the page calls curl, and this machine has none."""
    return shutil.which("curl") is None and any("$ curl" in block.text for block in blocks(page) if block.runs)


def _pattern(expected: str) -> re.Pattern[str]:
    """What the page shows, with ``...`` for whatever differs from run to run."""
    return re.compile(re.escape(_plain(expected)).replace(re.escape("..."), ".*?"), re.DOTALL)


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
