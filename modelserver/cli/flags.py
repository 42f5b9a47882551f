"""Flags: one spelling out of many, and one line for each mistake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from modelserver.declaration import FALSE_WORDS, TRUE_WORDS, Setting, nearest


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose flags take dashes or underscores and whose errors are one line, exit code 2.

    Boolean settings may stand bare (``--enable-grpc``), negated (``--no-enable-grpc``) or with a value in KServe's
    words (``--enable_grpc false``). A bare one never swallows the path behind it.
    """

    def __init__(self, prog: str, description: str, usage: str | None = None) -> None:
        super().__init__(prog=prog, description=description, usage=usage, allow_abbrev=False)
        self._booleans: set[str] = set()

    def add_settings(self, settings: Iterable[Setting]) -> None:
        """A flag for each setting; its text is left as it is, for the setting to read."""
        for item in settings:
            flags = [item.flag, *("--" + alias.replace("_", "-") for alias in item.aliases)]
            if item.kind is bool:
                self._booleans.update(flags)
            self.add_argument(
                *flags, dest=item.name, metavar=_metavar(item), help=_help(item), default=argparse.SUPPRESS
            )

    def read(self, argv: Sequence[str], unknown: list[str] | None = None) -> dict[str, Any]:
        """Return what was given, by name: texts, and ``True`` for a bare flag such as ``--json``.

        Flags nobody knows are an error, or gathered in ``unknown`` when it is a list.
        """
        values, extra = self.parse_known_args(self._plain(argv, unknown))
        if extra and unknown is None:
            self.error(f"unexpected argument {extra[0]!r}")
        elif unknown is not None:
            unknown += extra
        return {name: value for name, value in vars(values).items() if value is not None and value is not False}

    def _plain(self, argv: Sequence[str], unknown: list[str] | None) -> list[str]:
        """``argv`` in the parser's own spelling, each long flag with its value as ``--flag=value``."""
        known = self._option_string_actions
        plain: list[str] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return [*plain, word, *rest]
            if not word.startswith("--"):
                plain.append(word)
                continue
            name, has_value, value = word.partition("=")
            flag = name.replace("_", "-")
            negated = "--" + flag.removeprefix("--no-") if flag.startswith("--no-") else ""
            if flag in self._booleans:
                if not has_value:
                    value = rest.pop(0) if rest and rest[0].lower() in TRUE_WORDS | FALSE_WORDS else "true"
                plain.append(f"{flag}={value}")
            elif negated in self._booleans and not has_value:
                plain.append(f"{negated}=false")
            elif flag in known:
                if known[flag].nargs != 0 and not has_value:
                    if not rest:
                        self.error(f"{flag}: expected a value")
                    has_value, value = "=", rest.pop(0)
                plain.append(f"{flag}={value}" if has_value else flag)
            elif unknown is None:
                self.error(f"unknown flag {name}{nearest(flag, known)}")
            else:
                unknown.append(name)
                if not has_value and rest and not rest[0].startswith("--"):
                    rest.pop(0)
        return plain

    def error(self, message: str) -> NoReturn:
        """One line, exit code 2."""
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def _metavar(item: Setting) -> str:
    if item.choices:
        return "|".join(item.choices)
    return {bool: "true|false", int: "N", float: "SECONDS" if item.unit == "seconds" else "X"}.get(item.kind, "TEXT")


def _help(item: Setting) -> str:
    default = "" if item.default is None else f" (default {shown(item.default)})"
    text = item.help if item.effect else f"accepted for KServe's sake, no effect: {item.help}"
    return (text + (f", in {item.unit}" if item.unit else "") + default).replace("%", "%%")


def shown(value: object) -> str:
    """A value as one would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
