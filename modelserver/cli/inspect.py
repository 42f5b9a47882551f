"""``modelserver inspect``: what an artifact is, read from its bytes; nothing in it is run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modelserver.artifact import Artifact, ArtifactError, Broken, Repository, find
from modelserver.cli.flags import Parser
from modelserver.inspection import Findings, inspect, sha256_of
from modelserver.inspection.skew import skews
from modelserver.metadata import TensorMetadata

#: The files of the official runtimes, whether they are installed here or not.
PATTERNS = {
    "sklearn": ("*.joblib", "*.pkl", "*.pickle", "*.skops"),
    "xgboost": ("*.ubj", "*.json", "*.bst"),
    "pytorch": ("*.pt2", "*.pt", "*.pth", "*.mar", "*.safetensors"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """One artifact; ``name`` and ``version`` are those in its repository, if it lies in one.

    ``skew`` says where what it was saved with does not fit what is installed.
    """

    name: str
    version: str
    file: str
    size: int
    sha256: str
    findings: Findings
    skew: tuple[str, ...]


def run(argv: Sequence[str]) -> int:
    """Print a report for each artifact at PATH: 0, or 1 when one is damaged or there is none."""
    parser = Parser("modelserver inspect", "Say what an artifact is, without unpickling or running any of it.")
    parser.add_argument("path", metavar="PATH", help="a model file, a model's directory or a repository")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.read(argv)
    try:
        reports = list(reports_of(Path(given["path"])))
    except (ArtifactError, OSError) as error:
        print(f"error: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 1
    if "json" in given:
        print(json.dumps([as_json(report) for report in reports], indent=2))
    else:
        print("\n\n".join(map(text, reports)) or "no models")
    return int(not reports or any(report.findings.damage for report in reports))


def reports_of(path: Path) -> Iterator[Report]:
    """A report for a file, for a directory's model, or for every version of every model of a repository.

    ``ArtifactError`` when there is nothing at ``path``.
    """
    if path.is_file():
        yield report_of(path)
        return
    found = find(path, PATTERNS)
    if isinstance(found, Artifact):
        yield report_of(found.path)
        return
    yield from _reports_of_repository(found)


def _reports_of_repository(repository: Repository) -> Iterator[Report]:
    for name in repository.names():
        directory = repository.model(name)
        for version, found in directory.versions.items() if directory else ():
            if isinstance(found, Broken):
                yield Report(name, version, "", 0, "", Findings("none", damage=found.reason), ())
            else:
                yield report_of(found.path, name, version)


def report_of(path: Path, name: str = "", version: str = "") -> Report:
    """A report for one file."""
    found = inspect(path)
    skew = tuple(map(str, skews(found.saved_with)))
    return Report(name, version, path.name, path.stat().st_size, sha256_of(path), found, skew)


def as_json(report: Report) -> dict[str, object]:
    """The report as one flat JSON object."""
    values = asdict(report)
    findings = values.pop("findings")
    return {**values, **findings}


def text(report: Report) -> str:
    """The report as lines of ``name  value``."""
    found = report.findings
    named = f"{report.name} version {report.version}: " if report.name else ""
    lines = [f"{named}{report.file}".rstrip(": ")]
    about = [
        ("framework", found.framework or "unknown"),
        ("model", found.model or "unknown"),
        ("saved with", _versions(found)),
        *found.details.items(),
        *_tensors("input", found.inputs),
        *_tensors("output", found.outputs),
        ("imports", ", ".join(_packages(found)) or "nothing"),
    ]
    facts = [
        ("format", found.format),
        *(about if not found.damage else [("damaged", found.damage)]),
        ("size", f"{report.size:,} bytes"),
        ("sha256", report.sha256 or "none"),
        *(("note", note) for note in found.notes),
        *(("does not fit", skew) for skew in report.skew),
    ]
    width = max(len(name) for name, _ in facts)
    return "\n".join([*lines, *(f"  {name:<{width}}  {value}" for name, value in facts)])


def _versions(found: Findings) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.saved_with.items()) or "unknown"


def _packages(found: Findings) -> list[str]:
    return list(dict.fromkeys(module.partition(".")[0] for module in found.imports))


def _tensors(kind: str, tensors: Sequence[TensorMetadata]) -> list[tuple[str, str]]:
    if not tensors:
        return [(kind, "unknown")]
    known = [f"{t.datatype or 'any datatype'} {list(t.shape)}" if t.datatype or t.shape else "" for t in tensors]
    return [(kind, f"{t.name}  {text}".rstrip()) for t, text in zip(tensors, known, strict=True)]
