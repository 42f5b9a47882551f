"""``emit_metrics``, which old handlers import from here."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

logger = logging.getLogger(__name__)


def emit_metrics(metrics: Iterable[Any]) -> None:
    """Log each metric."""
    for metric in metrics or ():
        logger.info("%s", metric)
