"""Writes the tables of settings.md from the declarations; ``--check`` only says whether they are up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from modelserver.cli.flags import shown
from modelserver.declaration import Setting, settings_of
from modelserver.settings import BatchSettings, ModelSettings, ServerSettings

PAGE = Path(__file__).with_name("settings.md")
TABLES = {"server": ServerSettings, "model": ModelSettings, "batch": BatchSettings}


def table(name: str) -> str:
    """Return one table in Markdown."""
    settings = settings_of(TABLES[name])
    if name == "batch":  # set in code: neither flags nor environment
        lines = ["| name | default | value | meaning |", "|---|---|---|---|"]
        lines += [f"| `{s.name}` | {_default(s)} | {_cell(s.expected)} | {_cell(s.help)} |" for s in settings]
    else:
        lines = ["| flag | environment | default | value | meaning |", "|---|---|---|---|---|"]
        lines += [
            f"| {_code(_flags(s))} | {_code(s.environment)} | {_default(s)} | {_cell(s.expected)} | {_meaning(s)} |"
            for s in settings
        ]
    return "\n".join(lines)


def rendered(page: str) -> str:
    """Return the page with every table between its two marks made anew."""
    for name in TABLES:
        start, end = f"<!-- {name}: made by generate.py -->", f"<!-- /{name} -->"
        pattern = re.escape(start) + ".*?" + re.escape(end)
        page, found = re.subn(pattern, lambda _, n=name, s=start, e=end: f"{s}\n{table(n)}\n{e}", page, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{PAGE.name}: expected one place for the table {name}, got {found}")
    return page


def _flags(setting: Setting) -> tuple[str, ...]:
    return (setting.flag, *("--" + alias.replace("_", "-") for alias in setting.aliases))


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _default(setting: Setting) -> str:
    return "not set" if setting.default is None else f"`{shown(setting.default)}`"


def _meaning(setting: Setting) -> str:
    return _cell(setting.help if setting.effect else f"{setting.help}. Accepted for KServe's sake, no effect")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the page, or with ``--check`` return 1 when it is not what it would be."""
    old = PAGE.read_text(encoding="utf-8")
    new = rendered(old)
    if "--check" in sys.argv[1:]:
        if old != new:
            sys.stderr.write(f"{PAGE.name} is out of date: run python docs/reference/{Path(__file__).name}\n")
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
