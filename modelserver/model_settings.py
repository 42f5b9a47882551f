"""``model-settings.json``: what may lie beside an artifact and say more about its model. Nothing in it is needed.

Each key is declared once: its meaning, what it takes, and how a JSON value becomes it. MLServer's users know a file of
the same name; its keys are taken where they mean the same. See ``docs/reference/model-settings.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from modelserver.datatypes import DTYPES
from modelserver.declaration import SettingError, nearest
from modelserver.golden import GoldenRow, row_of
from modelserver.metadata import TensorMetadata
from modelserver.settings import BatchSettings
from modelserver.tensor import Parameter, Parameters

#: Beside the artifact, in its directory.
FILE_NAME = "model-settings.json"
GOLDEN_NAME = "model.golden.jsonl"

Execution: TypeAlias = Literal["auto", "inline", "thread"]
_EXECUTIONS = ("auto", "inline", "thread")
# MLServer's own runtimes that have the same name here.
_IMPLEMENTATIONS = {"mlserver_sklearn": "sklearn", "mlserver_xgboost": "xgboost"}
#: Keys of MLServer's that are accepted and do nothing.
WITHOUT_EFFECT = ("versions", "parallel_workers", "warm_workers", "cache_enabled", "metrics_enabled", "$schema")
#: The same below ``parameters``.
PARAMETERS_WITHOUT_EFFECT = (
    "format",
    "content_type",
    "environment_path",
    "environment_tarball",
    "inference_pool_gid",
    "autogenerate_inference_pool_gid",
)


class _Expected(ValueError):
    """What a value should have been; ``path`` leads to the part of it that is wrong."""

    def __init__(self, expected: str, got: object, path: str = "") -> None:
        super().__init__(expected)
        self.expected, self.got, self.path = expected, got, path


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Expected("a text", value)
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not value or "/" in value:
        raise _Expected("a name without /", value)
    return value


def _version(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    return _name(value)


def _runtime(value: object) -> str | None:
    return _IMPLEMENTATIONS.get(_text(value).partition(".")[0])


def _execution(value: object) -> Execution:
    if value not in _EXECUTIONS:
        raise _Expected(f"one of {', '.join(_EXECUTIONS)}", value)
    return cast("Execution", value)


def _digest(value: object) -> str:
    digits = _text(value).removeprefix("sha256:").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise _Expected("64 hexadecimal digits", value)
    return digits


def _tensors(value: object) -> tuple[TensorMetadata, ...]:
    if not isinstance(value, list):
        raise _Expected("a list of tensors: name, datatype, shape", value)
    return tuple(_tensor(entry, f"[{index}]") for index, entry in enumerate(value))


def _tensor(entry: object, path: str) -> TensorMetadata:
    if not isinstance(entry, dict):
        raise _Expected("an object with name, datatype and shape", entry, path)
    unknown = set(entry) - {"name", "datatype", "shape", "optional", "parameters", "tags"}
    if unknown:
        raise _Expected("name, datatype, shape or optional", min(unknown), path)
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not name:
        raise _Expected("a text", name, f"{path}.name")
    if datatype not in DTYPES:
        raise _Expected(f"one of {', '.join(DTYPES)}", datatype, f"{path}.datatype")
    if not isinstance(shape, list) or not all(type(size) is int and size >= -1 for size in shape):
        raise _Expected("a list of sizes, -1 for any", shape, f"{path}.shape")
    if type(entry.get("optional", False)) is not bool:
        raise _Expected("true or false", entry["optional"], f"{path}.optional")
    return TensorMetadata(name, cast("str", datatype), shape, optional=entry.get("optional", False))


def _batching(value: object) -> BatchSettings:
    if isinstance(value, bool):
        return BatchSettings() if value else BatchSettings(max_batch_size=1)
    if not isinstance(value, dict):
        raise _Expected("true, false, or an object with max_batch_size and max_latency", value)
    return BatchSettings.from_mapping(value)


def _batch_size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise _Expected("a whole number, at least 0", value)
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise _Expected("a number of seconds, at least 0", value)
    return float(value)


def _parameters(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _Expected("an object of names and values", value)
    for name, each in value.items():
        if name == "extra":
            _parameters(each)
        elif not isinstance(each, (bool, int, float, str)) and name not in PARAMETERS_WITHOUT_EFFECT:
            raise _Expected("a boolean, a number or a text", each, f".{name}")
    return value


def _warmup(value: object) -> bool | tuple[GoldenRow, ...]:
    return value if isinstance(value, bool) else _rows(value, "true, false, or a list of rows with inputs or instances")


def _golden(value: object) -> bool | str | tuple[GoldenRow, ...]:
    if isinstance(value, str) and value and "/" not in value:
        return value
    return value if isinstance(value, bool) else _rows(value, "a file's name, false, or a list of rows")


def _rows(value: object, expected: str) -> tuple[GoldenRow, ...]:
    if not isinstance(value, list):
        raise _Expected(expected, value)
    try:
        return tuple(row_of(row, f"row {index + 1}") for index, row in enumerate(value))
    except ValueError as exc:
        raise _Expected(str(exc), "a row that is not one") from exc


def _key(help: str, expected: str, read: Callable[[object], object], default: object = None) -> Any:  # a field
    return field(default=default, metadata={"help": help, "expected": expected, "read": read})


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """What one ``model-settings.json`` says; ``None`` for what it leaves to the artifact and the runtime."""

    name: str | None = _key("Name of the model; `--model-name` is stronger", "a text without /", _name)
    version: str | None = _key("Version that the model is served as; 1 when not set", "a text or a number", _version)
    runtime: str | None = _key("Runtime that loads it; recognised from the file when not set", "a text", _text)
    platform: str | None = _key("Platform in the model's metadata; the runtime's when not set", "a text", _text)
    inputs: tuple[TensorMetadata, ...] | None = _key(
        "Inputs, in place of those that the runtime detects; requests are then checked exactly",
        "a list of objects: name, datatype, shape, optional",
        _tensors,
    )
    outputs: tuple[TensorMetadata, ...] | None = _key(
        "Outputs, in place of those that the runtime detects", "a list of objects: name, datatype, shape", _tensors
    )
    parameters: Mapping[str, object] | None = _key(
        "Values for the runtime, as `model.parameters`; `uri`, `version` and `extra` have MLServer's meaning",
        "an object of booleans, numbers and texts",
        _parameters,
    )
    batching: BatchSettings | None = _key(  # noqa: RUF009 - a field
        "Dynamic batching, in place of the runtime's own",
        "true, false, or an object: max_batch_size, max_latency (seconds)",
        _batching,
    )
    execution: Execution | None = _key(  # noqa: RUF009 - a field
        "Where predict runs", "auto, inline or thread", _execution
    )
    warmup: bool | tuple[GoldenRow, ...] = _key(
        "Requests to run before the model is ready: one made up from the inputs, or these rows",
        "true, false, or a list of rows as in the golden file, without outputs",
        _warmup,
        False,
    )
    sha256: str | None = _key("Digest of the artifact, checked before it is opened", "64 hexadecimal digits", _digest)
    golden: bool | str | tuple[GoldenRow, ...] = _key(
        f"Rows that the model must answer as they say before it is ready; `{GOLDEN_NAME}` when that file is there",
        "a file's name, false, or a list of rows",
        _golden,
        True,
    )
    implementation: str | None = _key(
        "MLServer's class: `mlserver_sklearn.SKLearnModel` and `mlserver_xgboost.XGBoostModel` name our runtimes,"
        " others do nothing",
        "a text",
        _runtime,
    )
    max_batch_size: int | None = _key("MLServer's form of batching; 0 and 1 turn it off", "a whole number", _batch_size)
    max_batch_time: float | None = _key("MLServer's form of max_latency", "seconds", _seconds)

    @property
    def uri(self) -> str | None:
        """The artifact's file name, where ``parameters.uri`` names one."""
        value = (self.parameters or {}).get("uri")
        return None if value is None else str(value)

    @property
    def served_version(self) -> str | None:
        """``version``, or MLServer's ``parameters.version``."""
        value = (self.parameters or {}).get("version")
        return self.version or (None if value is None else str(value))

    @property
    def runtime_name(self) -> str | None:
        """``runtime``, or the one that ``implementation`` means."""
        return self.runtime or self.implementation

    @property
    def batch_settings(self) -> BatchSettings | None:
        """``batching``, or MLServer's two keys; ``None`` when the file says nothing of it."""
        if self.batching is not None or (self.max_batch_size is None and self.max_batch_time is None):
            return self.batching
        return BatchSettings(max_batch_size=max(1, self.max_batch_size or 0), max_latency=self.max_batch_time or 0.0)

    @property
    def model_parameters(self) -> Parameters:
        """The values for the runtime: ``parameters`` with its ``extra``, without what MLServer itself reads there."""
        own = {"uri", "version", "extra", *PARAMETERS_WITHOUT_EFFECT}
        plain = {name: value for name, value in (self.parameters or {}).items() if name not in own}
        extra = (self.parameters or {}).get("extra", {})
        return cast("dict[str, Parameter]", plain | (extra if isinstance(extra, dict) else {}))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> ArtifactSettings:
        """The settings in parsed JSON; ``SettingError`` in one line that names the key."""
        readers = {item.name: item.metadata["read"] for item in fields(cls)}
        read: dict[str, Any] = {}
        for key, value in values.items():
            if key in WITHOUT_EFFECT:
                continue
            if key not in readers:
                raise SettingError(f"{FILE_NAME}: unknown key {key!r}{nearest(key, readers)}")
            try:
                read[key] = readers[key](value)
            except _Expected as exc:
                raise SettingError(
                    f"{FILE_NAME}: {key}{exc.path}: got {_shown(exc.got)}, expected {exc.expected}"
                ) from None
            except SettingError as exc:  # of a key inside
                raise SettingError(f"{FILE_NAME}: {key}: {exc}") from None
        return cls(**read)


def read_beside(directory: Path) -> ArtifactSettings | None:
    """The settings in a model's directory; ``None`` when there is no file, ``SettingError`` when it is wrong."""
    try:
        values = json.loads((directory / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise SettingError(f"{FILE_NAME}: cannot be read: {exc.strerror}") from None
    except ValueError as exc:
        raise SettingError(f"{FILE_NAME}: not JSON: {' '.join(str(exc).split())}") from None
    if not isinstance(values, dict):
        raise SettingError(f"{FILE_NAME}: got {_shown(values)}, expected an object")
    return ArtifactSettings.from_mapping(values)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
