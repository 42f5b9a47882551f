"""What a user hands to ``modelserver infer``, JSON, CSV or .npy, as a request."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from modelserver.datatypes import DTYPES, NUMERIC
from modelserver.errors import InvalidInput
from modelserver.messages import Json
from modelserver.metadata import TensorMetadata
from modelserver.protocols import jsonlib
from modelserver.tensor import Tensor

Form: TypeAlias = Literal["json", "csv", "npy"]
#: KServe's clients call a lone input so.
UNNAMED = "input-0"
NPY_MAGIC = b"\x93NUMPY"


def form_of(path: str, body: bytes) -> Form:
    """The form of a file by its suffix; of standard input (``-``) by its first bytes, never CSV."""
    suffix = path.rpartition(".")[2].lower()
    if suffix == "npy" or body.startswith(NPY_MAGIC):
        return "npy"
    return "csv" if suffix == "csv" else "json"


def is_v2_body(value: Json) -> bool:
    """Whether parsed JSON is a v2 request: a list of tensors under ``inputs``."""
    inputs = value.get("inputs") if isinstance(value, dict) else None
    return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], dict) and "datatype" in inputs[0]


def v1_body(value: Json) -> dict[str, Json]:
    """A v1 request out of parsed JSON: itself, or instances when it is a bare list."""
    if isinstance(value, list):
        return {"instances": value}
    if isinstance(value, dict):
        return value
    raise InvalidInput("input: expected a list, a v1 body (instances) or a v2 body (inputs)")


def parse_json(body: bytes) -> Json:
    """Parsed JSON; ``InvalidInput`` when it is none."""
    try:
        return jsonlib.loads(body)
    except InvalidInput as exc:
        raise InvalidInput(f"input: {exc.message.removeprefix('body: ')}") from exc


def npy_tensors(body: bytes, declared: Sequence[TensorMetadata]) -> list[Tensor]:
    """The array of an .npy file as the model's one input, in the datatype that it declares."""
    try:
        array = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError) as exc:
        raise InvalidInput(f"input: cannot be read as .npy: {exc}") from exc
    return [_lone(np.asarray(array), declared)]


def csv_tensors(body: bytes, declared: Sequence[TensorMetadata]) -> list[Tensor]:
    """The columns of a CSV file: one tensor [rows] each, or one [rows, columns] for a model with one 2-D input.

    The first row names the columns unless all of it is numbers; without names there is one 2-D tensor.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as exc:
        raise InvalidInput(f"input: cannot be read as CSV: {exc}") from exc
    header = rows[0] if rows and not all(map(_is_number, rows[0])) else None
    cells = rows[1:] if header else rows
    if not cells:
        raise InvalidInput("input: the CSV has no rows")
    for index, row in enumerate(cells):
        if len(row) != len(rows[0]):
            raise InvalidInput(f"input: row {index + 1} has {len(row)} cells, expected {len(rows[0])}")
    columns = [_column(cells, position) for position in range(len(rows[0]))]
    numeric = all(column.dtype != object for column in columns)
    matrix = np.stack(columns, axis=1) if numeric else np.array(cells, dtype=object)
    if header is None:
        return [_lone(matrix, declared)]
    if len(declared) == 1 and len(declared[0].shape) == 2 and (numeric or declared[0].datatype == "BYTES"):
        return [_lone(matrix, declared)]
    return _named(dict(zip(header, columns, strict=True)), declared)


def _named(columns: Mapping[str, np.ndarray], declared: Sequence[TensorMetadata]) -> list[Tensor]:
    by_name = {metadata.name: metadata for metadata in declared}
    tensors = []
    for name, column in columns.items():
        metadata = by_name.get(name) or (declared[0] if len(declared) == len(columns) == 1 else None)
        if metadata is None:
            tensors.append(Tensor(name, column))
            continue
        shaped = column.reshape(-1, *[1] * (len(metadata.shape) - 1))
        tensors.append(_cast(metadata.name, shaped, metadata.datatype))
    return tensors


def _lone(array: np.ndarray, declared: Sequence[TensorMetadata]) -> Tensor:
    if len(declared) == 1:
        return _cast(declared[0].name, array, declared[0].datatype)
    return Tensor(UNNAMED, array)


def _cast(name: str, array: np.ndarray, datatype: str) -> Tensor:
    """A tensor of the declared datatype; ``InvalidInput`` rather than a value that changes (1.5 as INT64)."""
    if datatype not in NUMERIC or array.dtype.kind not in "biuf":
        return Tensor(name, array)  # the server says what it expected
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(DTYPES[datatype])
    if cast.dtype.kind in "biu" and not np.array_equal(cast, array):
        raise InvalidInput(f"input: {name} has values that {datatype} cannot hold, which the model expects")
    return Tensor(name, cast, datatype)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(cells: Sequence[Sequence[str]], position: int) -> np.ndarray:
    """A column as int64 or float64 (an empty cell is NaN) where all of it is numbers, else as text."""
    texts = [row[position] for row in cells]
    for dtype, convert in ((np.int64, int), (np.float64, lambda text: float(text) if text.strip() else np.nan)):
        try:
            return np.array([convert(text) for text in texts], dtype=dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(texts, dtype=object)
