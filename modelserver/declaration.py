"""A setting, declared once: its kind of value, its limits, and how a text or a value becomes it.

The flag, the environment variable, the key in a file and the row in the documentation follow from the declaration.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PREFIX = "MODELSERVER_"

# The words KServe's flags take for a boolean, in any case.
TRUE_WORDS = frozenset({"y", "yes", "t", "true", "on", "1"})
FALSE_WORDS = frozenset({"n", "no", "f", "false", "off", "0"})


class SettingError(ValueError):
    """A setting that cannot be used: one line that names it, what came (and from where) and what was expected."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One declared setting. ``kind`` is int, float, bool or str; ``optional`` ones may be ``None`` (not set)."""

    name: str
    kind: type[int | float | bool | str]
    optional: bool
    default: int | float | bool | str | None
    help: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    #: Other environment variables that are honoured, below our own; earlier ones win.
    variables: tuple[str, ...]
    #: Other names of the setting in files and flags.
    aliases: tuple[str, ...]
    #: ``False`` for a flag that KServe has and that does nothing here.
    effect: bool

    @property
    def flag(self) -> str:
        """The command line's spelling, with dashes; underscores mean the same."""
        return "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> tuple[str, ...]:
        """Environment variables that set it, the strongest first."""
        return (PREFIX + self.name.upper(), *self.variables)

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "a text"
        noun = "a whole number" if self.kind is int else "a number"
        limits = ""
        if self.minimum is not None and self.maximum is not None:
            limits = f" from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            limits = f", at least {self.minimum:g}"
        return noun + (f" of {self.unit}" if self.unit else "") + limits

    def read(self, value: object, source: str = "") -> int | float | bool | str | None:
        """``value`` (a text from outside or a Python value) as this setting's; ``SettingError`` naming ``source``."""
        if value is None and self.optional:
            return None
        try:
            return self._limited(self._converted(value))
        except (ValueError, TypeError):
            came = f"{self.name}: got {value!r}" + (f" from {source}" if source else "")
            raise SettingError(f"{came}, expected {self.expected}") from None

    def _converted(self, value: object) -> int | float | bool | str:
        if self.kind is bool:
            return value if isinstance(value, bool) else boolean(str(value))
        if isinstance(value, bool):
            raise TypeError
        if self.kind is int:
            if isinstance(value, float) and not value.is_integer():
                raise ValueError
            return int(value) if isinstance(value, (int, float)) else int(str(value))
        if self.kind is float:
            return float(value) if isinstance(value, (int, float)) else float(str(value))
        if not isinstance(value, str):
            raise TypeError
        return value

    def _limited(self, value: float | bool | str) -> int | float | bool | str:
        if self.choices:
            by_lower = {choice.lower(): choice for choice in self.choices}
            if str(value).lower() not in by_lower:
                raise ValueError
            return by_lower[str(value).lower()]
        if isinstance(value, (int, float)) and self.kind is not bool:
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError
            if self.minimum is not None and value < self.minimum:
                raise ValueError
            if self.maximum is not None and value > self.maximum:
                raise ValueError
        return value


def setting(
    default: float | bool | str | None,
    help: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    variables: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    effect: bool = True,
) -> Any:  # a dataclass field has whatever type its annotation says
    """A field of a settings class; its annotation says the kind, ``| None`` and (as a Literal) the choices."""
    return field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "minimum": minimum,
            "maximum": maximum,
            "variables": variables,
            "aliases": aliases,
            "effect": effect,
        },
    )


def settings_of(cls: type[DataclassInstance]) -> tuple[Setting, ...]:
    """The settings that a settings class declares, in its order."""
    hints = get_type_hints(cls)
    declared = []
    for item in fields(cls):
        hint = hints[item.name]
        arms = (hint,) if get_origin(hint) in (None, Literal) else get_args(hint)
        [core] = [arm for arm in arms if arm is not NoneType]
        choices = get_args(core) if get_origin(core) is Literal else ()
        declared.append(
            Setting(
                name=item.name,
                kind=str if choices else core,
                optional=NoneType in arms,
                default=None if item.default is MISSING else item.default,
                choices=choices,
                **item.metadata,
            )
        )
    return tuple(declared)


def boolean(text: str) -> bool:
    """A boolean in KServe's words (y, yes, t, true, on, 1 and their opposites); ``ValueError`` for any other."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(f"{text!r} is not true or false")


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an "unknown ..." message: the name that was perhaps meant, or nothing."""
    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]}?" if found else ""
