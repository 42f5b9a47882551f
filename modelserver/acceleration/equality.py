"""Whether two answers are the same: bit for bit for everything but floats, within a bound for those."""

from __future__ import annotations

from typing import Any

import numpy as np

#: How far a float may be from the framework's, as a share of the largest float in the framework's answer. Engines add
#: the same numbers up in another order, which no more than the last few bits show.
BOUNDS = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


def difference(expected: Any, actual: Any, exact: bool = False) -> str:
    """The first difference in words; empty when ``actual`` is as good as ``expected``.

    Arrays must have the same shape and datatype. Labels, integers and text must be equal, FP64 and FP32 within
    ``BOUNDS`` (bit for bit when ``exact``), NaN where NaN is expected. Lists (several outputs) are compared one by one.
    """
    if isinstance(expected, list) or isinstance(actual, list):
        return _difference_of_lists(expected, actual, exact)
    if not isinstance(expected, np.ndarray) or not isinstance(actual, np.ndarray):
        return f"got {type(actual).__name__}, expected {type(expected).__name__}: only arrays are compared"
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return f"got {actual.dtype} {list(actual.shape)}, expected {expected.dtype} {list(expected.shape)}"
    wrong = expected != actual
    if expected.dtype in BOUNDS and wrong.any():
        bound = 0.0 if exact else BOUNDS[expected.dtype]
        finite = np.isfinite(expected)
        largest = float(np.max(np.abs(expected[finite]), initial=0.0))
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(expected - actual) <= bound * largest
        wrong &= ~(near | (np.isnan(expected) & np.isnan(actual)))
    if not wrong.any():
        return ""
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    return f"{actual[place]!s} at {list(place)}, expected {expected[place]!s}"


def _difference_of_lists(expected: Any, actual: Any, exact: bool) -> str:
    if not isinstance(expected, list) or not isinstance(actual, list) or len(expected) != len(actual):
        return "got another number of outputs than expected"
    found = (difference(one, other, exact) for one, other in zip(expected, actual, strict=True))
    return next((text for text in found if text), "")
