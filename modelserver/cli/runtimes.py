"""``modelserver runtimes``: which frameworks this installation can serve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint

from modelserver.cli.distributions import required_versions, runtime_entry_points
from modelserver.cli.flags import Parser


@dataclass(frozen=True, slots=True)
class Runtime:
    """An installed runtime. ``frameworks`` has versions by name; ``error`` says why it cannot be used, if so."""

    name: str
    distribution: str
    version: str
    frameworks: dict[str, str]
    files: tuple[str, ...]
    platform: str = ""
    error: str = ""


def run(argv: Sequence[str]) -> int:
    """Print the runtimes, as a table or as JSON."""
    parser = Parser("modelserver runtimes", "List the installed runtimes.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.read(argv)
    found = installed()
    if "json" in given:
        print(json.dumps([asdict(runtime) for runtime in found], indent=2))
    elif not found:
        print('no runtimes are installed; for example: pip install "modelserver[sklearn]"')
    else:
        print(table(found))
    return 0


def installed() -> list[Runtime]:
    """Every runtime that announces itself, by name."""
    return [describe(point) for point in runtime_entry_points()]


def describe(point: EntryPoint) -> Runtime:
    """What one entry point announces; its class is imported for it."""
    distribution = point.dist.name if point.dist else ""
    frameworks = required_versions(distribution) if distribution else {}
    frameworks.pop("modelserver", None)
    if not frameworks and distribution:  # a framework of several builds is a choice of extras
        frameworks = required_versions(distribution, extras=True)
    files: tuple[str, ...] = ()
    platform = error = ""
    try:
        model = point.load()
        files, platform = tuple(model.artifacts), str(model.platform)
    except Exception as exc:  # noqa: BLE001 - someone else's import: whatever it raises is the reason it cannot be used
        error = " ".join(f"{type(exc).__name__}: {exc}".split())
    return Runtime(
        point.name, distribution, point.dist.version if point.dist else "", frameworks, files, platform, error
    )


def table(runtimes: Sequence[Runtime]) -> str:
    """One line a runtime, in columns."""
    rows = [("RUNTIME", "DISTRIBUTION", "FRAMEWORK", "FILES")]
    rows += [
        (
            runtime.name,
            f"{runtime.distribution} {runtime.version}",
            ", ".join(f"{name} {number}" for name, number in runtime.frameworks.items()),
            f"cannot be used: {runtime.error}" if runtime.error else " ".join(runtime.files),
        )
        for runtime in runtimes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join((*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3])) for row in rows
    )
