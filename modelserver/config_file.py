"""A file of settings, TOML, JSON or YAML by its suffix, as names and values."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from modelserver.declaration import SettingError


def read_file(path: str | Path) -> dict[str, object]:
    """The settings in a TOML, JSON or YAML file, by its suffix; ``SettingError`` in one line when it cannot be read."""
    import tomllib  # costs as much as all of this module, and most servers have no such file

    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yaml", ".yml"):
            values = _yaml(text)
        else:
            values = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise SettingError(f"config: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"config: cannot read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise SettingError(f"config: got {type(values).__name__} in {path}, expected names and values")
    return values


def _yaml(text: str) -> object:
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise ValueError("YAML needs PyYAML (pip install pyyaml); TOML and JSON need nothing") from None
    try:
        return {} if (values := yaml.safe_load(text)) is None else values
    except yaml.YAMLError as error:
        raise ValueError(error) from None
