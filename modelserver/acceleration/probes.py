"""Rows to compare engines on: random ones, and those where trees decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Rows of each kind. More would find little more and cost time at every load.
RANDOM, EDGES = 96, 160


def probe_rows(thresholds: Sequence[np.ndarray]) -> np.ndarray:
    """FP64 [256, features]: rows within and a little beyond the range of the thresholds, and rows on their edges.

    ``thresholds`` has the numbers that each feature is compared to, of which there may be none. A value on an edge is
    a threshold itself or the next number above or below it, in FP64 or in FP32. Same thresholds, same rows.
    """
    random = np.random.default_rng(20)
    columns = [_column(random, np.asarray(known, np.float64).ravel()) for known in thresholds]
    return np.ascontiguousarray(np.stack(columns, axis=1))


def probes_near(centers: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """FP64 [256, features]: rows of normal distribution, for models that have no thresholds."""
    random = np.random.default_rng(20)
    return centers + 2 * scales * random.standard_normal((RANDOM + EDGES, len(centers)))


def _column(random: np.random.Generator, known: np.ndarray) -> np.ndarray:
    known = known[np.isfinite(known) & (np.abs(known) < np.finfo(np.float32).max)]
    if not len(known):
        return random.standard_normal(RANDOM + EDGES)
    low, high = known.min(), known.max()
    margin = 0.25 * (high - low) or max(1.0, abs(low))
    within = random.uniform(low - margin, high + margin, RANDOM)
    picked = random.choice(known, EDGES)
    single = picked.astype(np.float32)
    kinds = np.stack(
        [
            picked,
            np.nextafter(picked, np.inf),
            np.nextafter(picked, -np.inf),
            single.astype(np.float64),
            np.nextafter(single, np.float32(np.inf)).astype(np.float64),
            np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
        ]
    )
    return np.concatenate([within, kinds[random.integers(0, len(kinds), EDGES), np.arange(EDGES)]])
