"""Ensembles of trees by treelite's GTIL (General Tree Inference Library), adding up in the frameworks' own order."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelserver.acceleration.proof import Engine


def tree_engine(model: Any, margin: bool = False, base: float | None = None) -> Engine:
    """Rows -> [n, targets, classes], by a ``treelite.Model``, which is changed; ``margin`` leaves its last step out.

    ``base`` is the base score of a model with one output, where the framework's differs from treelite's in its last bits.
    One thread: it is for batches that are too small to be worth more. Threads may call it at once.
    """
    from treelite import gtil

    _begin_with_base(model, base)
    datatype = np.dtype(model.input_type)

    def run(rows: np.ndarray) -> Any:
        return gtil.predict(model, np.ascontiguousarray(rows, datatype), nthread=1, pred_margin=margin)

    return run


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
