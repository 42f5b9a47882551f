"""Python files that come with a model: imported from the model's own directory, apart from other models' files."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from modelserver_pytorch.reasons import reason

# sys.path and sys.modules are the process's, and so is the lock around changing them.
_IMPORTING = threading.Lock()


class ModelCode:
    """The Python files of one model's directory.

    Several models, and versions of one model, have files of the same names: each imports its own. The modules and
    the directory stay known to Python until ``close``, or until another model imports modules of those names, so that
    what a model imports while it answers is found too.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._modules: dict[str, ModuleType] = {}

    def module(self, name: str) -> ModuleType:
        """Import a module of this directory, executing it; ``ValueError`` in one line for whatever it raises."""
        with self.importing():
            try:
                return importlib.import_module(name)
            except Exception as exc:
                raise ValueError(f"{name}.py: {type(exc).__name__}: {reason(exc)}") from exc

    @contextmanager
    def importing(self) -> Iterator[None]:
        """While it lasts, modules of this directory's names are this directory's."""
        with _IMPORTING:
            path = str(self.directory)
            if path in sys.path:
                sys.path.remove(path)
            sys.path.insert(0, path)
            importlib.invalidate_caches()
            for name in [name for name in sys.modules if self._owns(name.partition(".")[0])]:
                if sys.modules[name] is not self._modules.get(name):
                    del sys.modules[name]
            try:
                yield
            finally:
                self._modules.update({name: m for name, m in sys.modules.items() if self._holds(m)})

    def close(self) -> None:
        """Forget the modules and the directory; what they defined lives on where it is used."""
        with _IMPORTING:
            if str(self.directory) in sys.path:
                sys.path.remove(str(self.directory))
            for name, module in self._modules.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]

    def _owns(self, name: str) -> bool:
        return (self.directory / f"{name}.py").is_file() or (self.directory / name / "__init__.py").is_file()

    def _holds(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        return isinstance(file, str) and Path(file).is_relative_to(self.directory)
