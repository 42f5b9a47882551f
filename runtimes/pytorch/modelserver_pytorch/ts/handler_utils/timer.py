"""``timed``: measures a handler's method where ``model-config.yaml`` asks for it (``handler: {profile: true}``)."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any


def timed(func: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose milliseconds go to the metric ``ts_handler_<name>``."""

    @functools.wraps(func)
    def measured(self: Any, *args: Any, **kwargs: Any) -> Any:
        context = getattr(self, "context", None)
        if not context or not ((context.model_yaml_config or {}).get("handler") or {}).get("profile"):
            return func(self, *args, **kwargs)
        start = time.perf_counter()
        result = func(self, *args, **kwargs)
        context.metrics.add_time(f"ts_handler_{func.__name__}", (time.perf_counter() - start) * 1000)
        return result

    return measured
