"""``MetricTypes``."""

from __future__ import annotations

import enum


class MetricTypes(enum.Enum):
    """What Prometheus knows."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
