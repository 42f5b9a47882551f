"""Makes ``import ts`` find our package of TorchServe's names while archives are loaded and TorchServe is not there."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

_NAME = "ts"
_DIRECTORY = Path(__file__).parent / _NAME
# sys.modules is the process's, and so is the lock around changing it.
_LOCK = threading.Lock()


def enter() -> None:
    """One more archive that needs the names; each ``enter`` has its ``leave``."""
    with _LOCK:
        module = sys.modules.get(_NAME)
        if _is_ours(_NAME):
            vars(module)["archives"] += 1
        elif not _torchserve_is_installed():
            spec = importlib.util.spec_from_file_location(
                _NAME, _DIRECTORY / "__init__.py", submodule_search_locations=[str(_DIRECTORY)]
            )
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            vars(module)["archives"] = 1
            sys.modules[_NAME] = module
            spec.loader.exec_module(module)


def leave() -> None:
    """One archive fewer; with the last one the names go, and live on only where they are used."""
    with _LOCK:
        if not _is_ours(_NAME):
            return
        counted = vars(sys.modules[_NAME])
        counted["archives"] -= 1
        if not counted["archives"]:
            for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
                del sys.modules[name]


def default_handlers() -> list[str]:
    """The names of TorchServe's own handlers that are here."""
    return sorted(file.stem for file in (_DIRECTORY / "torch_handler").glob("*.py") if file.stem != "__init__")


def _is_ours(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(_DIRECTORY)


def _torchserve_is_installed() -> bool:
    spec = importlib.util.find_spec(_NAME)
    places = (spec and spec.submodule_search_locations) or ()
    return any((Path(place) / "torch_handler" / "base_handler.py").is_file() for place in places)
