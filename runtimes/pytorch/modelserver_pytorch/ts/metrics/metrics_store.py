"""``context.metrics``: takes what handlers measure, and writes it to the log at DEBUG.

The server measures requests itself; a handler's own numbers are not on its metrics page.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from .dimension import Dimension
from .metric_type_enum import MetricTypes

logger = logging.getLogger(__name__)


class Metric:
    """A named number with a unit; a counter adds up, others keep their last value."""

    def __init__(self, name: str, unit: str, metric_type: MetricTypes, dimension_names: Sequence[str] = ()) -> None:
        self.name = name
        self.metric_name = name
        self.unit = unit
        self.metric_type = metric_type
        self.dimension_names = dimension_names
        self.value: float = 0

    def add_or_update(self, value: float, dimension_values: Sequence[str] = (), request_id: str = "") -> None:
        """Add to a counter, or set."""
        self.value = self.value + value if self.metric_type is MetricTypes.COUNTER else value
        logger.debug("%s", self)

    def update(self, value: float) -> None:
        """The same, under its old name."""
        self.add_or_update(value)

    def __str__(self) -> str:
        return f"{self.name}.{self.unit}:{self.value}"


class MetricsStore:
    """The metrics of one model, by name and type."""

    def __init__(self, request_ids: Any = None, model_name: str = "") -> None:
        self.request_ids = request_ids
        self.model_name = model_name
        self.cache: dict[tuple[str, MetricTypes], Metric] = {}

    @property
    def store(self) -> list[Metric]:
        """All metrics."""
        return list(self.cache.values())

    def set_request_ids(self, request_ids: Any) -> None:
        """Told before each batch."""
        self.request_ids = request_ids

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: Sequence[str] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> Metric:
        """The metric of that name and type, made when it is new."""
        return self.cache.setdefault(
            (metric_name, metric_type), Metric(metric_name, unit, metric_type, dimension_names)
        )

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> Metric:
        """A metric that was added; ``KeyError``."""
        return self.cache[metric_name, metric_type]

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str = "",
        idx: int | None = None,
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        """A number of any kind."""
        self.add_metric_to_cache(name, unit, [each.name for each in dimensions or ()], metric_type).update(value)

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Sequence[Dimension] = ()
    ) -> None:
        """A number to add."""
        self.add_metric(name, value, "count", idx, dimensions, MetricTypes.COUNTER)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """A time."""
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """A size."""
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_percent(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """A share."""
        self.add_metric(name, value, "percent", idx, dimensions, metric_type)

    def add_error(self, name: str, value: float, dimensions: Sequence[Dimension] = ()) -> None:
        """A count of errors."""
        self.add_metric(name, value, "", None, dimensions, MetricTypes.COUNTER)
