"""Which model and version a number is counted under: only those that the repository knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from modelserver.metadata import IndexEntry

#: The repository's index, asked when a model is met for the first time and when the page is made.
Index: TypeAlias = Callable[[], Sequence[IndexEntry]]

#: The verbs that run a model; every other verb (``metadata``, ``load``, ...) only asks about one.
INFERENCE_VERBS = frozenset({"predict", "explain"})


def known(index: Sequence[IndexEntry], model: str, version: str) -> tuple[str, str]:
    """``(model, version)`` with ``""`` in place of what the repository does not know.

    Clients choose the names in their URLs: counted as they come, they would fill memory and the time series
    database with label values that mean nothing.
    """
    versions = [entry.version for entry in index if entry.name == model]
    if not versions:
        return "", ""
    return model, version if version in versions else ""
