"""A path -> the models in it: finds the runtime of each artifact and makes its ``Model``."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from modelserver.artifact import Artifact, Broken, Repository, find
from modelserver.declaration import SettingError, settings_of
from modelserver.engine.admission import Admission
from modelserver.engine.repository import FIRST_VERSION, Catalog, ModelSource
from modelserver.errors import ModelServerError
from modelserver.model import Model
from modelserver.model_settings import FILE_NAME, ArtifactSettings, read_beside
from modelserver.settings import RuntimeSettings

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
            _source(name, version, found, self._runtimes, self._options, inside=True)
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
        return [_source_in_code(Path(file), attribute, model_name)], NoCatalog()
    runtimes = installed_runtimes(runtime)
    found = find(Path(path), {name: _patterns(cls) for name, cls in runtimes.items()})
    if isinstance(found, Artifact):
        directory = Path(path).is_dir()
        settings = read_beside(found.path.parent) or ArtifactSettings()
        name = model_name or settings.name or (DEFAULT_NAME if directory else found.path.stem)
        version = settings.served_version or FIRST_VERSION
        return [_source(name, version, found, runtimes, options or {})], NoCatalog()
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


def _source(
    name: str,
    version: str,
    found: Artifact | Broken,
    runtimes: Mapping[str, type[Model]],
    options: Mapping[str, object],
    inside: bool = False,
) -> ModelSource:
    """One version of an artifact; a model ``inside`` a repository is called as its directory is."""
    if isinstance(found, Broken):
        return ModelSource(name, version, partial(_refuse, found.reason))

    def new(settings: ArtifactSettings) -> Model:
        model = runtimes[found.runtime](name)
        model.path = found.path
        if model.settings is not None:
            model.settings = _runtime_settings(model.settings, settings.model_parameters, options)
        return model

    maker = _Maker(found.path, found.runtime, new, name if inside else None)
    return ModelSource(name, version, maker.make, maker.admit)


def _source_in_code(file: Path, attribute: str, model_name: str | None) -> ModelSource:
    settings = read_beside(file.parent) or ArtifactSettings()
    name = model_name or settings.name or file.stem
    maker = _Maker(file, "", lambda _: _model_in_code(file, attribute, name), None)
    return ModelSource(name, settings.served_version or FIRST_VERSION, maker.make, maker.admit)


def _refuse(reason: str) -> Model:
    raise ModelServerError(reason)


class _Maker:
    """Makes the model of a file, anew for each load: what lies beside the file may have changed.

    ``directory`` is the name that the settings must agree with, if any.
    """

    def __init__(
        self, file: Path, runtime: str, new: Callable[[ArtifactSettings], Model], directory: str | None
    ) -> None:
        self._file = file
        self._runtime = runtime
        self._new = new
        self._directory = directory
        self._admission: Admission | None = None

    def make(self) -> Model:
        settings = read_beside(self._file.parent) or ArtifactSettings()
        if self._directory is not None and settings.name not in (None, self._directory):
            raise ModelServerError(
                f"{FILE_NAME}: name: got {settings.name!r}, expected {self._directory!r}, as its directory is called"
            )
        self._admission = Admission(self._file, settings, self._runtime)
        self._admission.check_artifact()
        return configured(self._new(settings), settings)

    def admit(self) -> Admission | None:
        return self._admission


def configured(model: Model, settings: ArtifactSettings) -> Model:
    """``model`` with what its settings say in place of what its class says."""
    batching = settings.batch_settings
    if batching is not None:
        model.batching = batching if batching.max_batch_size > 1 else None
    if settings.execution is not None:
        model.execution = settings.execution
    if settings.platform is not None:
        model.platform = settings.platform
    if settings.model_parameters:
        model.parameters = settings.model_parameters
    return model


def _runtime_settings(
    defaults: RuntimeSettings, parameters: Mapping[str, object], options: Mapping[str, object]
) -> RuntimeSettings:
    """Default < the parameters of this one model < environment < command line."""
    kind = type(defaults)
    own = {
        item.name: parameters[item.name]
        for item in settings_of(kind)
        if item.name in parameters and not any(os.environ.get(variable) for variable in item.environment)
    }
    try:
        return kind.resolve({**own, **options})
    except SettingError as exc:
        if str(exc).partition(":")[0] not in own:
            raise
        raise SettingError(f"{FILE_NAME}: parameters.{exc}") from exc


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
