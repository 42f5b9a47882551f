"""A TorchServe archive unpacked: its manifest, its files in a directory of their own, what it requires.

Source: torch-model-archiver's ``MAR-INF/MANIFEST.json`` (model: modelName, handler, serializedFile, modelFile,
modelVersion, requirementsFile, configFile).
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Any

from modelserver_pytorch.contents import MANIFEST

log = logging.getLogger("modelserver.pytorch")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive's files, in ``directory``, and what the manifest says of its model."""

    directory: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> Mapping[str, Any]:
        """The manifest's part about the model."""
        model: Mapping[str, Any] = self.manifest["model"]
        return model

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.directory, ignore_errors=True)


def unpack(file: Path) -> Archive:
    """Unpack an archive into a temporary directory; ``ValueError`` in one line when it is not a whole one."""
    directory = Path(tempfile.mkdtemp(prefix="modelserver-mar-"))
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                _check(entry, file.name)
            archive.extractall(directory)
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        found = Archive(directory, manifest, _config(directory, manifest))
        for key in ("serializedFile", "modelFile"):
            name = found.model.get(key)
            if name and not (directory / name).is_file():
                raise ValueError(f"{file.name}: its manifest names {name} as {key}, which is not in it")
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as exc:
        shutil.rmtree(directory, ignore_errors=True)
        raise ValueError(f"{file.name} is damaged: {exc}") from exc
    except ValueError as exc:
        shutil.rmtree(directory, ignore_errors=True)
        raise ValueError(str(exc) if file.name in str(exc) else f"{file.name}: {MANIFEST}: {exc}") from exc
    return found


def report_requirements(archive: Archive, name: str) -> None:
    """Say in the log which required packages are missing: they are not installed by us."""
    file = archive.model.get("requirementsFile")
    path = archive.directory / str(file)
    if not file or not path.is_file():
        return
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if _NAME.match(line)]
    missing = [line for line in wanted if not _is_installed(line)]
    if missing:
        log.warning("model %s: %s asks for %s, which must be installed beforehand", name, file, ", ".join(missing))
    else:
        log.info("model %s: %s asks for %s, which are there", name, file, ", ".join(wanted) or "nothing")


def _is_installed(requirement: str) -> bool:
    match = _NAME.match(requirement)
    try:
        return match is not None and distribution(match[0]) is not None
    except PackageNotFoundError:
        return False


def _check(entry: zipfile.ZipInfo, archive: str) -> None:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
        raise ValueError(f"{archive}: {entry.filename!r} would lie outside of it")


def _config(directory: Path, manifest: Any) -> Mapping[str, Any]:
    """``model-config.yaml``; the manifest is looked at here too."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("model"), dict):
        raise ValueError("expected an object with model")  # noqa: TRY004 - the artifact's mistake, as others
    if not isinstance(manifest["model"].get("handler"), str):
        raise ValueError("model.handler: expected the name of a file or of one of TorchServe's handlers")  # noqa: TRY004
    name = manifest["model"].get("configFile")
    if not name:
        return {}
    import yaml

    try:
        config = yaml.safe_load((directory / name).read_text(encoding="utf-8"))
    except yaml.YAMLError as exc:
        raise ValueError(f"{name}: {' '.join(str(exc).split())}") from exc
    return config if isinstance(config, dict) else {}
