"""``Metric``, which handlers import from here."""

from .metrics_store import Metric

__all__ = ["Metric"]
