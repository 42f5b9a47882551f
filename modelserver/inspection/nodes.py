"""The objects that a pickle describes, as notes of what would be made; no object of theirs exists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from modelserver.inspection.findings import Unreadable

#: Plain values, lists, dicts, tuples, ``Global`` and ``Made``.
Node: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that unpickling would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """An object that unpickling would make: ``what`` called with ``arguments``, then given ``state`` and ``items``."""

    what: Node
    arguments: Node = ()
    state: Node = None
    items: list[Node] = field(default_factory=list)
    mapping: dict[Node, Node] = field(default_factory=dict)


@dataclass(slots=True)
class Pickle:
    """What a pickle describes; ``error`` says why ``root`` is missing, in one line."""

    root: Node = None
    protocol: int = 0
    #: In the order of their first use.
    globals: dict[str, None] = field(default_factory=dict)
    #: The first ``_sklearn_version``, also of a pickle that is cut short.
    sklearn_version: str = ""
    finished: bool = False
    error: str = ""


def width_of(dtype: Node) -> int | None:
    """The bytes of one element of a pickled numpy dtype; ``None`` for objects."""
    code = dtype_code(dtype)
    kind, digits = code[:1], code[1:]
    if kind == "O":
        return None
    if not digits.isdigit():
        raise Unreadable(f"an array of the unknown dtype {code!r}")
    return int(digits) * (4 if kind == "U" else 1)


def dtype_code(dtype: Node) -> str:
    """``f8``, ``U10``, ``V64``, ...: what numpy's dtype is called with."""
    if isinstance(dtype, Made) and isinstance(dtype.arguments, tuple) and dtype.arguments:
        code = dtype.arguments[0]
        return code if isinstance(code, str) else ""
    return ""


def elements_of(array: Node) -> list[Node]:
    """The elements of a pickled array of objects (its state's last entry); empty for any other."""
    state = array.state if isinstance(array, Made) else None
    if isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list):
        return list(state[4])
    return array.items if isinstance(array, Made) else []
