"""What the installed distributions say about themselves; nothing of theirs is imported."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires, version

#: The group of entry points that runtimes announce their ``Model`` in.
ENTRY_POINTS = "modelserver.runtimes"


def runtime_entry_points() -> list[EntryPoint]:
    """One entry point a runtime, by name."""
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)


def required_versions(distribution: str, extras: bool = False) -> dict[str, str]:
    """Installed version by name of what a distribution (or its ``extras``) requires; empty when it is not installed."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        # PEP 508: the name comes first; the marker of an extra names it behind the semicolon.
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if name is None or ("extra ==" in line.partition(";")[2]) is not extras:
            continue
        try:
            found[name[0]] = version(name[0])
        except PackageNotFoundError:
            continue  # a marker rules it out here
    return dict(sorted(found.items()))
