"""The command line: one file a verb, imported only when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from modelserver.declaration import nearest

#: Verb -> what it does. Each is a module here with ``run(argv) -> exit code``.
VERBS = {
    "serve": "serve a model file, a directory, a repository or a class over REST and gRPC",
    "infer": "call a model on a running server",
    "inspect": "say what an artifact is, without unpickling or running any of it",
    "verify": "compare a model's answers over every wire, one by one and batched",
    "runtimes": "list the installed runtimes",
    "version": "print the versions of what is installed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; the exit code: 0 done, 1 failed, 2 wrong use."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    verb = "version" if argv[0] == "--version" else argv[0]
    if verb not in VERBS:
        print(f"modelserver: unknown verb {verb!r}{nearest(verb, VERBS) or ', expected one of ' + ', '.join(VERBS)}",
              file=sys.stderr)  # fmt: skip
        return 2
    try:
        return int(import_module(f"modelserver.cli.{verb}").run(argv[1:]))
    except KeyboardInterrupt:
        return 130


def usage() -> str:
    """What ``modelserver --help`` prints."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        ["usage: modelserver VERB ...", "", *lines, "", "modelserver VERB --help tells the flags of a verb."]
    )
