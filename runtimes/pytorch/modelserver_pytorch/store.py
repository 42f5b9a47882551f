"""TorchServe's directories: ``model-store/*.mar`` beside ``config/config.properties``, as KServe mounts them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

STORE = "model-store"


def arguments_for(argv: Sequence[str]) -> list[str]:
    """The command line for a ``--model-dir`` with one archive in its ``model-store``: that archive, under its name.

    Anything else is left as it is. TorchServe's own configuration (ports, workers, batches) is not read: the flags
    of this server say that.
    """
    arguments = list(argv)
    found = _value(arguments, "model-dir")
    if found is None:
        return arguments
    index, directory = found
    archives = sorted((Path(directory) / STORE).glob("*.mar"))
    if len(archives) != 1:
        return arguments
    flag, equals, _ = arguments[index].partition("=")
    arguments[index] = f"{flag}={archives[0]}" if equals else str(archives[0])
    if _value(arguments, "model-name") is None:
        arguments += [f"--model-name={archives[0].stem}"]
    return arguments


def _value(arguments: Sequence[str], name: str) -> tuple[int, str] | None:
    """Where a flag's value is, and what it is."""
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag.replace("_", "-") == f"--{name}":
            if equals:
                return index, value
            if index + 1 < len(arguments):
                return index + 1, arguments[index + 1]
    return None
