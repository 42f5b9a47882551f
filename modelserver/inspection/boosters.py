"""What an XGBoost model file says: UBJSON (``.ubj``) or JSON, and why the old binary form cannot be loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from modelserver.inspection import ubjson
from modelserver.inspection.findings import Findings, Unreadable
from modelserver.metadata import TensorMetadata

# XGBoost writes keys in their order, so the version is at the very end of a file.
_JSON_END = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]\s*\}\s*$')
_UBJ_END = re.compile(rb"version\[#L\0{7}\x03(i[\0-\x7f]i[\0-\x7f]i[\0-\x7f])\}$", re.DOTALL)
#: How much of a file's end ``version_at_end`` needs.
END = 256


def version_at_end(end: bytes) -> str:
    """The version in the last ``END`` bytes of a model file; empty when it is not there."""
    if found := _JSON_END.search(end):
        return ".".join(part.decode() for part in found.groups())
    if found := _UBJ_END.search(end):
        return ".".join(str(part) for part in found[1][1::2])
    return ""


def booster_findings(data: bytes, format: str) -> Findings:
    """What a model in UBJSON says; ``Unreadable`` when it is none."""
    value = ubjson.parse(data)
    inner = value.get("Model")  # a pickled booster has its configuration beside the model
    return model_findings(inner if isinstance(inner, dict) else value, format)


def json_findings(data: bytes) -> Findings:
    """What a model in JSON says; ``Unreadable`` when it is cut short or of something else."""
    try:
        value = json.loads(data)
    except ValueError as exc:
        position = getattr(exc, "pos", len(data))
        raise Unreadable(f"JSON that makes no sense at byte {position}, of {len(data)}") from exc
    except RecursionError as exc:
        raise Unreadable("JSON that is nested too deeply") from exc
    if not isinstance(value, dict) or "learner" not in value:
        raise Unreadable("JSON, and not an XGBoost model: it has no learner")
    return model_findings(value, "XGBoost JSON")


def model_findings(model: Mapping[str, object], format: str) -> Findings:
    """What the parsed model says."""
    learner = model.get("learner")
    if not isinstance(learner, dict):
        raise Unreadable("not an XGBoost model: it has no learner")
    numbers = _mapping(learner.get("learner_model_param"))
    objective = str(_mapping(learner.get("objective")).get("name", ""))
    version = model.get("version")
    saved = {"xgboost": ".".join(map(str, version))} if isinstance(version, list) and version else {}
    booster = _mapping(learner.get("gradient_booster"))
    details = {
        "objective": objective,
        "booster": str(booster.get("name", "")),
        "trees": str(_mapping(_mapping(booster.get("model")).get("gbtree_model_param")).get("num_trees", "")),
        "classes": _more_than(0, numbers.get("num_class")),
        "targets": _more_than(1, numbers.get("num_target")),
    }
    return Findings(
        format,
        framework="xgboost",
        model="xgboost.Booster",
        saved_with=saved,
        inputs=_inputs(learner, numbers),
        details={name: text for name, text in details.items() if text},
    )


def _inputs(learner: Mapping[str, object], numbers: Mapping[str, object]) -> list[TensorMetadata]:
    names = _texts(learner.get("feature_names"))
    if names:
        return [TensorMetadata(name, "FP32", [-1]) for name in names]
    count = str(numbers.get("num_feature", ""))
    return [TensorMetadata("input-0", "FP32", [-1, int(count)])] if count.isdigit() and count != "0" else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> Sequence[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _more_than(least: int, value: object) -> str:
    text = str(value)
    return text if text.isdigit() and int(text) > least else ""
