"""What an XGBoost model file says of its model: columns, categories, objective, sizes, version."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from modelserver import TensorMetadata
from modelserver_xgboost.trees import check_booster

#: An optional input: the margin that each row starts from, instead of the model's own base score.
BASE_MARGIN = "base_margin"
#: XGBoost's feature types -> datatypes. Categories without stored values ("c") are their codes.
_DATATYPES = {"float": "FP32", "q": "FP32", "int": "INT64", "i": "BOOL", "c": "INT64"}

#: The first version that stores the texts of categories right where they are not all ASCII.
_CUTS_UTF8 = (3, 4)


@dataclass(frozen=True, slots=True)
class Column:
    """A feature by name. ``categories`` are the values behind the codes 0, 1, ... where the model stores them.

    Texts are ``str``; numbers are an array.
    """

    name: str
    datatype: str
    categories: list[str] | np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """``columns`` is empty for a model whose features have no names; ``version`` when the file does not say it."""

    features: int
    #: Values that a row has before they are transformed: classes, targets, or 1.
    groups: int
    booster: str
    columns: tuple[Column, ...]
    version: tuple[int, ...]

    @property
    def inputs(self) -> list[TensorMetadata]:
        """The v2 inputs: a column each, or ``input-0``; and ``base_margin``, which is optional."""
        if self.columns:
            inputs = [TensorMetadata(column.name, column.datatype, [-1]) for column in self.columns]
        else:
            inputs = [TensorMetadata("input-0", "FP32", [-1, self.features])]
        if all(tensor.name != BASE_MARGIN for tensor in inputs):
            shape = [-1] if self.groups == 1 else [-1, self.groups]
            inputs.append(TensorMetadata(BASE_MARGIN, "FP32", shape, optional=True))
        return inputs


def schema_of(document: Mapping[str, Any], installed: str) -> Schema:
    """The schema in a model file's document, once its trees are checked; ``ValueError`` when it is no model.

    ``installed`` is the version of XGBoost that is going to read it, such as ``3.2.0``.
    """
    version = saved_version(document)
    learner = document.get("learner")
    if not isinstance(learner, Mapping):
        raise ValueError("it has no learner, so it is no XGBoost model")  # noqa: TRY004 - one error for a file that is none
    try:
        sizes = learner["learner_model_param"]
        features = int(sizes["num_feature"])
        groups = max(int(sizes.get("num_class", 0)), int(sizes.get("num_target", 1)), 1)
        if not 1 <= features < 1 << 31 or groups >= 1 << 31:
            raise ValueError(f"{features} features and {groups} outputs")
        booster = learner["gradient_booster"]
        check_booster(booster, features, groups, tuple(int(part) for part in installed.split(".")[:2]))
        columns = _columns(learner, booster, features, version)
    except KeyError as exc:
        raise ValueError(f"it has no {exc.args[0]}") from None
    except (TypeError, AttributeError):
        raise ValueError("it is not laid out as an XGBoost model") from None
    return Schema(features, groups, str(booster["name"]), columns, version)


def saved_version(document: Mapping[str, Any]) -> tuple[int, ...]:
    """The version of XGBoost that wrote the file; empty when it does not say."""
    try:
        return tuple(int(part) for part in document["version"])
    except (KeyError, TypeError, ValueError):
        return ()


def _columns(
    learner: Mapping[str, Any], booster: Mapping[str, Any], features: int, version: tuple[int, ...]
) -> tuple[Column, ...]:
    names, types = list(learner.get("feature_names", ())), list(learner.get("feature_types", ()))
    if any(given and len(given) != features for given in (names, types)):
        raise ValueError(f"{len(names)} names and {len(types)} types for {features} features")
    if len(set(names)) != len(names):
        raise ValueError("two features have the same name")
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    encodings = model.get("cats", {}).get("enc", ())
    columns = []
    for index, name in enumerate(names):
        kind = types[index] if types else "float"
        categories = _categories(encodings[index], version) if kind == "c" and index < len(encodings) else None
        datatype = "BYTES" if isinstance(categories, list) else _DATATYPES.get(kind, "FP32")
        if isinstance(categories, np.ndarray) and categories.dtype.kind == "f":
            datatype = "FP64"
        columns.append(Column(str(name), datatype, categories))
    return tuple(columns)


def _categories(encoding: Mapping[str, Any], version: tuple[int, ...]) -> list[str] | np.ndarray | None:
    """The values behind a feature's codes, in their order; since XGBoost 3.1, for models trained on a DataFrame."""
    if "offsets" not in encoding:
        values = np.asarray(encoding["values"])
        return values.astype(values.dtype.newbyteorder("=")) if len(values) else None
    offsets = [int(offset) for offset in encoding["offsets"]]
    text = np.asarray(encoding["values"], dtype=np.int64).astype(np.uint8).tobytes()
    # Before 3.4 XGBoost cut such texts in the wrong places (dmlc/xgboost#12371): what is left are the codes.
    if len(offsets) < 2 or (version < _CUTS_UTF8 and not text.isascii()):
        return None
    return [text[start:end].decode() for start, end in pairwise(offsets)]
