"""Text in scikit-learn's models: what a fitted pipeline knows of its columns, and BYTES as the ``str`` they expect."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelserver import InvalidInput


def known_values(step: Any, columns: Sequence[str]) -> dict[str, Any]:
    """A value for each column that encoders and vectorizers know something of: a ``str`` where a column is text.

    ``step`` is an estimator or any part of one. What cannot be told, as for a transformer of one's own, is left out.
    """
    step = getattr(step, "best_estimator_", step)
    found: dict[str, Any] = dict.fromkeys(columns, "") if hasattr(step, "build_analyzer") else {}
    categories = getattr(step, "categories_", ())
    if len(categories) == len(columns):
        for name, known in zip(columns, categories, strict=True):
            values = [value for value in known if value is not None and value == value]  # not NaN either
            found |= {name: next((value for value in values if isinstance(value, str)), values[0])} if values else {}
    for _, part, chosen in getattr(step, "transformers_", ()):
        found |= known_values(part, _chosen(chosen, columns))
    for _, part in getattr(step, "steps", getattr(step, "transformer_list", ())):
        found = found or known_values(part, columns)  # later steps see what the first ones made of the columns
    return found


def _chosen(chosen: Any, columns: Sequence[str]) -> list[str]:
    """The columns that one transformer of a ColumnTransformer takes: by name, position, slice or mask."""
    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, slice) and any(isinstance(end, str) for end in (chosen.start, chosen.stop)):
        start = columns.index(chosen.start) if chosen.start is not None else 0
        stop = columns.index(chosen.stop) + 1 if chosen.stop is not None else len(columns)
        return list(columns[start:stop])
    if not isinstance(chosen, slice | int) and len(chosen) and isinstance(chosen[0], str):
        return list(chosen)
    positions = chosen if isinstance(chosen, slice | int) else np.asarray(chosen, dtype=None if len(chosen) else int)
    return list(np.atleast_1d(np.asarray(columns, dtype=object)[positions]))


def decoded(array: np.ndarray) -> np.ndarray:
    """BYTES as an array of ``str`` of the same shape, null as NaN; ``InvalidInput`` for what is not UTF-8."""
    try:
        flat = [element.decode() if isinstance(element, bytes) else np.nan for element in array.flat]
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"inputs[0].data: expected text in UTF-8: {exc}") from exc
    return np.array(flat, dtype=object).reshape(array.shape)
