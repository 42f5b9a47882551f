"""Checks of a model's trees and weights, before XGBoost trusts them.

XGBoost follows the indices in a file without looking: a file with flipped bits that still parses makes it read and
write out of bounds, and the process dies. So every index is held against the array it points into, and no walk from
a root may come back to where it was.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

#: What a tree keeps for each of its nodes; first what points somewhere.
_A_NODE_EACH = ("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left")
#: And these, but for trees with a vector in each leaf before XGBoost 3.2.
_STATISTICS = ("loss_changes", "sum_hessian")
#: The first version that keeps vectors apart from the nodes. It dies of the older form, and older ones misread its.
_VECTORS_APART = (3, 2)
#: The parent of a root: -1, or what is left of it in 31 bits.
_NO_PARENT = (-1, 0x7FFFFFFF)


def check_booster(booster: Mapping[str, Any], features: int, groups: int, installed: tuple[int, ...]) -> None:
    """``ValueError`` when a gradient booster's indices do not fit its arrays, or its form the ``installed`` version.

    ``features`` is the number of columns, ``groups`` that of values a row has before they are transformed.
    """
    name = booster.get("name")
    if name == "gblinear":
        weights = len(booster["model"]["weights"])
        if weights != (features + 1) * groups:
            raise ValueError(f"{weights} weights for {features} features and {groups} outputs")
        return
    if name not in ("gbtree", "dart"):
        raise ValueError(f"no booster is called {name!r}")
    model = booster["gbtree"]["model"] if name == "dart" else booster["model"]
    trees = model["trees"]
    if len(trees) != int(model["gbtree_model_param"]["num_trees"]):
        raise ValueError(f"{len(trees)} trees, expected {model['gbtree_model_param']['num_trees']}")
    info = _array(model, "tree_info")
    if len(info) != len(trees) or not _within(info, 0, groups):
        raise ValueError("tree_info does not fit the trees and outputs")
    if name == "dart" and len(booster["weight_drop"]) != len(trees):
        raise ValueError("weight_drop does not fit the trees")
    _check_rounds(model, len(trees))
    for index, tree in enumerate(trees):
        try:
            _check_tree(tree, features, installed)
        except KeyError as exc:
            raise ValueError(f"tree {index} has no {exc.args[0]}") from None
        except ValueError as exc:
            raise ValueError(f"tree {index}: {exc}") from None


def _check_rounds(model: Mapping[str, Any], trees: int) -> None:
    if "iteration_indptr" not in model:  # before XGBoost 2.0
        return
    starts = _array(model, "iteration_indptr")
    if len(starts) == 0 or starts[0] != 0 or starts[-1] != trees or (np.diff(starts) < 0).any():
        raise ValueError("iteration_indptr does not fit the trees")


def _check_tree(tree: Mapping[str, Any], features: int, installed: tuple[int, ...]) -> None:
    nodes = int(tree["tree_param"]["num_nodes"])
    size = int(tree["tree_param"].get("size_leaf_vector", 1))
    apart = "leaf_weights" in tree
    if size > 1 and apart != (installed >= _VECTORS_APART):
        raise ValueError(
            f"leaves with vectors in the form {'since' if apart else 'before'} XGBoost 3.2, which another cannot read"
        )
    names = _A_NODE_EACH if size > 1 and not apart else (*_A_NODE_EACH, *_STATISTICS)
    if nodes < 1 or any(len(tree[name]) != nodes for name in names):
        raise ValueError(f"its arrays do not have its {nodes} nodes")
    left, right, parents, split = (_array(tree, name) for name in _A_NODE_EACH[:4])
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    above = np.concatenate([inner, inner])
    # Every child knows its only parent, the root has none: then no way leads down in a circle.
    fits = _within(children, 1, nodes) and len(np.unique(children)) == len(children)
    if not fits or (parents[children] != above).any() or parents[0] not in _NO_PARENT:
        raise ValueError("its nodes do not form a tree")
    if not (np.isin(parents, _NO_PARENT) | ((parents >= 0) & (parents < nodes))).all():
        raise ValueError("a node's parent is not in it")
    if not _within(split[inner], 0, features):
        raise ValueError(f"it splits on a feature beyond its {features}")
    if apart and size > 1:  # the right child of a leaf is the place of its vector
        fits = _within(right[left == -1], 0, len(tree["leaf_weights"]) // size)
    else:
        fits = len(tree["base_weights"]) == nodes * max(size, 1)
    if not fits:
        raise ValueError("its leaves do not have their weights")
    _check_categories(tree, nodes)


def _check_categories(tree: Mapping[str, Any], nodes: int) -> None:
    if "categories" not in tree:  # before XGBoost 1.5
        return
    categories = _array(tree, "categories")
    at, start, size = (_array(tree, f"categories_{name}") for name in ("nodes", "segments", "sizes"))
    fits = len(at) == len(start) == len(size) and _within(at, 0, nodes) and _within(categories, 0, 1 << 24)
    if not fits or (start < 0).any() or (size < 0).any() or (start + size > len(categories)).any():
        raise ValueError("its categories do not fit its nodes")
    if not set(np.flatnonzero(_array(tree, "split_type") == 1)) <= set(at.tolist()):
        raise ValueError("a split by categories has none")


def _array(holder: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        array = np.asarray(holder[name], dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} has something else than numbers") from None
    if array.ndim != 1:
        raise ValueError(f"{name} is no list of numbers")
    return array


def _within(array: np.ndarray, low: int, high: int) -> bool:
    return bool(((array >= low) & (array < high)).all())
