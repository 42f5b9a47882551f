"""A path -> the models in it: finds the runtime of each artifact and makes its ``Model``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from modelserver.artifact import Artifact, Broken, Repository, find
from modelserver.engine.repository import FIRST_VERSION, Catalog, ModelSource
from modelserver.errors import ModelServerError
from modelserver.model import Model

#: The group of entry points that runtimes are found by; each names a ``Model`` class with ``artifacts`` patterns.
RUNTIMES = "modelserver.runtimes"
#: KServe's name of a model in a directory of its own.
DEFAULT_NAME = "model"


class NoCatalog:
    """Nothing but what was given can be loaded."""

    def names(self) -> Sequence[str]:
        """No children."""
        return ()

    def sources(self, name: str) -> Sequence[ModelSource]:
        """No sources."""
        return ()


class RepositoryCatalog:
    """The children of a repository directory, read anew each time."""

    def __init__(
        self, repository: Repository, runtimes: Mapping[str, type[Model]], options: Mapping[str, object]
    ) -> None:
        self._repository = repository
        self._runtimes = runtimes
        self._options = options

    def names(self) -> Sequence[str]:
        """The names of the children."""
        return self._repository.names()

    def sources(self, name: str) -> Sequence[ModelSource]:
        """A source a version; a broken one raises its reason when it is made."""
        directory = self._repository.model(name)
        if directory is None:
            return ()
        return [
            ModelSource(name, version, _maker(name, found, self._runtimes, self._options))
            for version, found in directory.versions.items()
        ]


def sources_of_models(models: Sequence[Model]) -> list[ModelSource]:
    """Models made in code: each is its own source, version 1. ``ValueError`` for a name that is missing or twice."""
    names: set[str] = set()
    for model in models:
        if not isinstance(model, Model):
            raise TypeError(f"expected a Model, got {type(model).__name__}")
        if not model.name:
            raise ValueError(f"{type(model).__name__} has no name: give it one, {type(model).__name__}('my-model')")
        if model.name in names:
            raise ValueError(f"two models are called {model.name!r}")
        names.add(model.name)
    return [ModelSource(model.name, FIRST_VERSION, _constant(model)) for model in models]


def sources_of_path(
    path: str,
    model_name: str | None = None,
    runtime: str | None = None,
    options: Mapping[str, object] | None = None,
) -> tuple[list[ModelSource], Catalog]:
    """The models at a path, and the catalog of what may be loaded later.

    ``path`` is a model file, a directory with one, a repository, or ``file.py:Class``. ``options`` are settings of
    runtimes, by name. ``ValueError`` in one line when it holds nothing that an installed runtime can serve.
    """
    file, _, attribute = path.rpartition(":")
    if file.endswith(".py") and attribute:
        name = model_name or Path(file).stem
        return [ModelSource(name, FIRST_VERSION, lambda: _model_in_code(Path(file), attribute, name))], NoCatalog()
    runtimes = installed_runtimes(runtime)
    found = find(Path(path), {name: _patterns(cls) for name, cls in runtimes.items()})
    if isinstance(found, Artifact):
        directory = Path(path).is_dir()
        name = model_name or (DEFAULT_NAME if directory else found.path.stem)
        return [ModelSource(name, FIRST_VERSION, _maker(name, found, runtimes, options or {}))], NoCatalog()
    catalog = RepositoryCatalog(found, runtimes, options or {})
    return [source for name in catalog.names() for source in catalog.sources(name)], catalog


def installed_runtimes(only: str | None = None) -> dict[str, type[Model]]:
    """Runtime name -> its ``Model`` class, sorted by name; ``ValueError`` when ``only`` is not installed."""
    points = sorted(entry_points(group=RUNTIMES), key=lambda point: point.name)
    if only is not None:
        points = [point for point in points if point.name == only]
        if not points:
            raise ValueError(f'runtime: {only!r} is not installed (pip install "modelserver[{only}]")')
    return {point.name: _runtime(point) for point in points}


def _runtime(point: EntryPoint) -> type[Model]:
    cls = point.load()
    if not (isinstance(cls, type) and issubclass(cls, Model)):
        raise ValueError(f"runtime {point.name}: {point.value} is not a Model class")  # noqa: TRY004 - one error for all
    return cls


def _patterns(cls: type[Model]) -> Sequence[str]:
    patterns: Sequence[str] = getattr(cls, "artifacts", ())
    return patterns


def _maker(
    name: str, found: Artifact | Broken, runtimes: Mapping[str, type[Model]], options: Mapping[str, object]
) -> Callable[[], Model]:
    def make() -> Model:
        if isinstance(found, Broken):
            raise ModelServerError(found.reason)
        model = runtimes[found.runtime](name)
        model.path = found.path
        if model.settings is not None:
            model.settings = type(model.settings).resolve(options)
        return model

    return make


def _constant(model: Model) -> Callable[[], Model]:
    return lambda: model


def _model_in_code(file: Path, attribute: str, name: str) -> Model:
    """The ``Model`` class or instance called ``attribute`` in a Python file, which is imported for it."""
    found = getattr(_module(file), attribute, None)
    if isinstance(found, Model):
        found.name = found.name or name
        return found
    if isinstance(found, type) and issubclass(found, Model):
        model = found(name)
        model.name = model.name or name
        model.path = file.parent
        return model
    raise ModelServerError(f"{file.name} has no Model called {attribute}")


def _module(file: Path) -> ModuleType:
    if not file.is_file():
        raise ModelServerError(f"{file.name}: no such file")
    # Its neighbours can be imported, as when it is run as a script.
    directory = str(file.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ModelServerError(f"{file.name}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module
