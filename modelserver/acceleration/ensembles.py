"""Ensembles of trees by treelite's GTIL (General Tree Inference Library), adding up in the frameworks' own order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelserver.acceleration.proof import Engine


def tree_engine(model: Any, margin: bool = False, base: float | None = None) -> Engine:
    """Rows -> [n, targets, classes], by a ``treelite.Model``, which is changed; ``margin`` leaves its last step out.

    ``base`` is the base score of a model with one output, where the framework's differs from treelite's in its last
    bits. One thread: it is for batches that are too small to be worth more. Threads may call it at once.
    """
    from treelite import gtil

    _begin_with_base(model, base)
    datatype = np.dtype(model.input_type)
    features = int(model.num_feature)
    shape = gtil.predict(model, np.zeros((1, features), datatype), nthread=1, pred_margin=margin).shape[1:]
    call = _c_call(model, margin)

    def run(rows: np.ndarray) -> Any:
        if rows.shape[1] != features:  # it would read beyond them
            raise ValueError(f"got {rows.shape[1]} features, expected {features}")
        rows = np.ascontiguousarray(rows, datatype)
        answer = np.zeros((len(rows), *shape), model.output_type)
        call(rows, answer)
        return answer

    return run


def _c_call(model: Any, margin: bool) -> Callable[[np.ndarray, np.ndarray], None]:
    """treelite's C interface: its Python function takes longer than a few hundred small trees."""
    from ctypes import c_uint64, c_void_p

    from treelite.core import _LIB, _check_call
    from treelite.gtil.gtil import GTILConfig

    config = GTILConfig(nthread=1, predict_type="raw" if margin else "default")
    predict, kind = _LIB.TreeliteGTILPredict, model.input_type.encode()

    def call(rows: np.ndarray, answer: np.ndarray) -> None:
        _check_call(
            predict(
                model.handle,
                c_void_p(rows.ctypes.data),
                kind,
                c_uint64(len(rows)),
                c_void_p(answer.ctypes.data),
                config.handle,
            )
        )

    return call


def _begin_with_base(model: Any, known: float | None) -> None:
    """Move the base score of each output into the leaves of its first tree.

    Frameworks begin with it and add the trees; treelite adds it last, which rounds differently. Where it cannot be
    moved, as with trees of several outputs, it stays where it is.
    """
    header = model.get_header_accessor()
    base = header.get_field("base_scores")
    if known is not None and base.size == 1:
        base = np.array([known], base.dtype)
    target, group = header.get_field("target_id"), header.get_field("class_id")
    if len(target) == 0 or min(target.min(), group.min()) < 0:
        return
    place = target * header.get_field("num_class").max() + group
    first = {int(output): int(tree) for output, tree in zip(*np.unique(place, return_index=True), strict=True)}
    if set(first) != set(range(base.size)):
        return
    for output, index in first.items():
        tree = model.get_tree_accessor(index)
        leaves = tree.get_field("leaf_value")
        tree.set_field("leaf_value", leaves + leaves.dtype.type(base[output]))
    header.set_field("base_scores", np.zeros_like(base))
