"""The fields of a v2 REST body, each read strictly: what is wrong is named, with what came and what was expected."""

from __future__ import annotations

from typing import Any

from modelserver.datatypes import DTYPES
from modelserver.errors import InvalidInput

_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def datatype_field(given: Any, where: str) -> str:
    """A datatype in any case; ``where`` is the tensor's field."""
    if type(given) is str and given in DTYPES:
        return given
    if type(given) is not str:
        raise InvalidInput(f"{where}.datatype: got {kind_of(given)}, expected one of {', '.join(DTYPES)}")
    upper = given.upper()  # KServe's clients may write fp32
    if upper not in DTYPES:
        raise InvalidInput(f"{where}.datatype: got {given[:40]!r}, expected one of {', '.join(DTYPES)}")
    return upper


def shape_field(given: Any, where: str) -> list[int]:
    """Sizes of 0 or more: -1 stands in metadata only."""
    if type(given) is not list:
        raise InvalidInput(f"{where}.shape: got {kind_of(given)}, expected a list of sizes")
    for size in given:
        if type(size) is not int or size < 0:
            raise InvalidInput(f"{where}.shape: got {str(given)[:80]}, expected whole sizes of 0 or more")
    return given


def name_field(given: Any, where: str) -> str:
    """A name, which has at least one character; ``where`` is the tensor's field."""
    if type(given) is str and given:
        return given
    raise InvalidInput(f"{where}.name: got {'an empty string' if given == '' else kind_of(given)}, expected a name")


def text_field(given: Any, field: str) -> str:
    """A string, empty when it is absent."""
    if type(given) is str:
        return given
    if given is None:
        return ""
    raise InvalidInput(f"{field}: got {kind_of(given)}, expected a string")


def parameters_field(given: Any, field: str) -> dict[str, Any]:
    """Parameters by name: booleans, numbers and strings."""
    if type(given) is not dict:
        raise InvalidInput(f"{field}: got {kind_of(given)}, expected an object")
    for name, value in given.items():
        if type(value) not in (bool, int, float, str):
            raise InvalidInput(f"{field}.{name}: got {kind_of(value)}, expected a string, a number or a boolean")
    return given


def kind_of(value: Any) -> str:
    """What a JSON value is, in the words of an error."""
    return "nothing" if value is None else _KINDS.get(type(value), type(value).__name__)
