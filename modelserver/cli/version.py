"""``modelserver version``: versions of the server, Python, the packages it stands on, and the runtimes."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from modelserver import __version__
from modelserver.cli.distributions import required_versions, runtime_entry_points
from modelserver.cli.flags import Parser


@dataclass(frozen=True, slots=True)
class Versions:
    """Version by distribution; ``packages`` are what the server stands on, as far as they are installed."""

    modelserver: str
    python: str
    packages: dict[str, str]
    runtimes: dict[str, str]


def run(argv: Sequence[str]) -> int:
    """Print the versions, as lines or as JSON."""
    parser = Parser("modelserver version", "Print the versions of what is installed.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.read(argv)
    found = versions()
    if "json" in given:
        print(json.dumps({name: getattr(found, name) for name in Versions.__slots__}, indent=2))
        return 0
    print(f"modelserver {found.modelserver}")
    print(f"python {found.python}")
    for name, number in (found.packages | found.runtimes).items():
        print(f"{name} {number}")
    return 0


def versions() -> Versions:
    """The versions of what is installed here."""
    runtimes = {point.dist.name: point.dist.version for point in runtime_entry_points() if point.dist}
    return Versions(__version__, platform.python_version(), required_versions("modelserver"), runtimes)
