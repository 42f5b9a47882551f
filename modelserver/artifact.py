"""What a path holds, found without executing a file, or opening one but the settings beside a model.

A directory with a model file directly inside holds that one model (KServe's rule for ``/mnt/models``). Without
one it is a repository: every child directory is a model, and its numeric children are versions. Which files are
models is told by the installed runtimes' patterns, in their order; a ``model-settings.json`` may name another file
or runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from modelserver.declaration import SettingError
from modelserver.model_settings import FILE_NAME, ArtifactSettings, read_beside

#: Runtime name -> the patterns of its files, e.g. ``{"sklearn": ("*.joblib", "*.pkl")}``. The first match decides.
Patterns: TypeAlias = Mapping[str, Sequence[str]]

#: The version of a model that lies directly in its directory.
FIRST_VERSION = "1"

# They lie beside models, and some match a runtime's patterns (*.json).
_NO_MODEL_FILES = frozenset({FILE_NAME, "modelserver.json", "config.json", "metadata.json"})
# Directories that file systems and Python put where models are.
_NO_MODEL_DIRECTORIES = frozenset({"lost+found", "__pycache__"})


class ArtifactError(ValueError):
    """A path does not hold what it should. The message has names of files, never their directories."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of one model: ``path`` is its file, ``runtime`` the name of the runtime that reads it."""

    path: Path
    runtime: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A place where a model should be and is not, and why: its own failure and nobody else's."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """One model of a repository; ``versions`` in numerical order, the latest last; never empty."""

    name: str
    versions: Mapping[str, Artifact | Broken]


@dataclass(frozen=True, slots=True)
class Repository:
    """A directory of models by name. It is read anew each time it is asked: children come, change and go."""

    path: Path
    patterns: Patterns

    def names(self) -> list[str]:
        """The children that are models, sorted; empty when there are none or the directory cannot be read."""
        try:
            return sorted(child.name for child in self.path.iterdir() if _is_name(child.name) and _is_directory(child))
        except OSError:
            return []

    def model(self, name: str) -> ModelDirectory | None:
        """One child and its versions; ``None`` when ``name`` is no child of the repository, or no name at all.

        Links that leave the repository are refused: a name must not reach files that nobody put here.
        """
        directory = self.path / name
        if not _is_name(name) or not _is_directory(directory):
            return None
        versions: Mapping[str, Artifact | Broken]
        try:
            root = self.path.resolve(strict=True)
            file = _model_file(directory, self.patterns, root)
            versions = {FIRST_VERSION: file} if file is not None else self._versions(directory, root)
        except (ArtifactError, OSError) as exc:
            versions = {FIRST_VERSION: _broken(exc)}
        return ModelDirectory(name, versions)

    def _versions(self, directory: Path, root: Path) -> dict[str, Artifact | Broken]:
        found = [child for child in directory.iterdir() if _is_version(child.name) and _is_directory(child)]
        if not found:
            raise ArtifactError(f"no model file: expected {_expected(self.patterns)}, or numeric version directories")
        versions: dict[str, Artifact | Broken] = {}
        for child in sorted(found, key=lambda child: (int(child.name), child.name)):
            try:
                file = _model_file(child, self.patterns, root)
                versions[child.name] = file or Broken(f"no model file: expected {_expected(self.patterns)}")
            except (ArtifactError, OSError) as exc:
                versions[child.name] = _broken(exc)
        return versions


def find(path: Path, patterns: Patterns) -> Artifact | Repository:
    """What ``path`` holds: a model file, a directory with exactly one, or a repository (perhaps an empty one).

    Raises ``ArtifactError`` when there is nothing there, when no runtime reads the file, and when a directory has
    several model files.

    >>> find(Path(__file__), {"python": ["*.py"]}).runtime
    'python'
    """
    if path.is_file():
        runtime = runtime_of(path.name, patterns)
        if runtime is None:
            raise ArtifactError(f"{path.name}: no installed runtime reads it; expected {_expected(patterns)}")
        return Artifact(path, runtime)
    if not path.is_dir():
        raise ArtifactError(f"{path.name}: no such file or directory")
    try:
        return _model_file(path, patterns) or Repository(path, patterns)
    except OSError as exc:
        raise ArtifactError(f"{path.name}: {exc.strerror}") from exc


def runtime_of(name: str, patterns: Patterns) -> str | None:
    """The first runtime with a pattern that the file name ``name`` matches; ``None`` when there is none.

    >>> runtime_of("model.json", {"sklearn": ["*.joblib"], "xgboost": ["*.ubj", "*.json"]})
    'xgboost'
    """
    if name.startswith(".") or name in _NO_MODEL_FILES:
        return None
    for runtime, globs in patterns.items():
        if any(fnmatchcase(name, glob) for glob in globs):
            return runtime
    return None


def _model_file(directory: Path, patterns: Patterns, root: Path | None = None) -> Artifact | None:
    """The only model file directly inside; with ``root``, nothing on the way there may lie outside of it."""
    if root is not None and not directory.resolve(strict=True).is_relative_to(root):
        raise ArtifactError(f"{directory.name}: a link that leaves the repository")
    try:
        settings = read_beside(directory) or ArtifactSettings()
    except SettingError as exc:
        raise ArtifactError(str(exc)) from exc
    files = sorted(directory.iterdir()) if settings.uri is None else [_named(directory, settings.uri)]
    found = [
        Artifact(file, runtime)
        for file in files
        if (runtime := _runtime(file.name, patterns, settings)) is not None and file.is_file()
    ]
    if settings.uri is not None and not found:
        raise ArtifactError(f"{settings.uri}: no installed runtime reads it; expected {_expected(patterns)}")
    if len(found) > 1:  # JSON lies beside models for many reasons
        found = [each for each in found if each.path.suffix != ".json"] or found
    if len(found) > 1:
        raise ArtifactError(f"expected exactly one model file, got {', '.join(each.path.name for each in found)}")
    if found and root is not None and not found[0].path.resolve(strict=True).is_relative_to(root):
        raise ArtifactError(f"{found[0].path.name}: a link that leaves the repository")
    return found[0] if found else None


def _named(directory: Path, uri: str) -> Path:
    """The file that the settings name, which must lie in the model's directory."""
    file = directory / uri.removeprefix("file://")
    if not file.resolve().is_relative_to(directory.resolve()):
        raise ArtifactError(f"{FILE_NAME}: parameters.uri: got {uri!r}, expected a file in the model's directory")
    if not file.is_file():
        raise ArtifactError(f"{FILE_NAME}: parameters.uri: got {uri!r}, and there is no such file")
    return file


def _runtime(name: str, patterns: Patterns, settings: ArtifactSettings) -> str | None:
    """The runtime of a file; the settings' own for one that they name, or that any runtime reads."""
    if settings.runtime_name is None or (settings.uri is None and runtime_of(name, patterns) is None):
        return runtime_of(name, patterns)
    if settings.runtime_name not in patterns:
        raise ArtifactError(
            f"{FILE_NAME}: runtime: got {settings.runtime_name!r}, expected one of {', '.join(patterns) or 'none'}"
        )
    return settings.runtime_name


def _is_name(name: str) -> bool:
    """Whether ``name`` may be a child's: one path component, not hidden, not above."""
    return (
        bool(name)
        and not name.startswith(".")
        and not set(name) & {"/", "\\", "\0"}
        and (name not in _NO_MODEL_DIRECTORIES)
    )


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name longer than the file system has
        return False


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _expected(patterns: Patterns) -> str:
    if not patterns:
        return 'a runtime, none is installed (pip install "modelserver[sklearn]")'
    return " or ".join(f"{', '.join(globs)} ({runtime})" for runtime, globs in patterns.items())


def _broken(exc: ArtifactError | OSError) -> Broken:
    # An OSError's own text has the whole path.
    return Broken(str(exc) if isinstance(exc, ArtifactError) else exc.strerror or type(exc).__name__)
