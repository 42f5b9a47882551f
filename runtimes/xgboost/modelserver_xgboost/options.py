"""A request's parameters: what to answer, and with which of the model's rounds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelserver import InvalidInput

#: The values of ``predict_type``, and how ``Booster.predict`` calls each.
PREDICT_TYPES: Mapping[str, Mapping[str, bool]] = {
    "value": {},
    "margin": {"output_margin": True},
    "leaf": {"pred_leaf": True},
    "contributions": {"pred_contribs": True},
    "approx_contributions": {"pred_contribs": True, "approx_contribs": True},
    "interactions": {"pred_interactions": True},
}
_RANGE = re.compile(r"\s*(\d{1,9})\s*[,-]\s*(\d{1,9})\s*")


@dataclass(frozen=True, slots=True)
class Options:
    """What one request asks for; ``iteration_range`` is half-open, and (0, 0) is every round."""

    predict_type: str = "value"
    iteration_range: tuple[int, int] = (0, 0)
    strict_shape: bool = False


DEFAULT = Options()


def options_of(parameters: Mapping[str, object], rounds: int, best: int | None) -> Options:
    """The options among the request's parameters; ``InvalidInput`` for a value that is none.

    ``rounds`` is how many the model has, ``best`` the best of them where training stopped early.
    """
    predict_type = parameters.get("predict_type", "value")
    if predict_type not in PREDICT_TYPES:
        raise InvalidInput(f"parameters.predict_type: got {predict_type!r}, expected one of {', '.join(PREDICT_TYPES)}")
    strict_shape = parameters.get("strict_shape", False)
    if not isinstance(strict_shape, bool):
        raise InvalidInput(f"parameters.strict_shape: got {strict_shape!r}, expected true or false")
    chosen = parameters.get("iteration_range", "0,0")
    return Options(str(predict_type), _iteration_range(chosen, rounds, best), strict_shape)


def _iteration_range(value: object, rounds: int, best: int | None) -> tuple[int, int]:
    if value == "best" and best is not None:
        return 0, best + 1
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        begin, end = int(match[1]), int(match[2])
        if end <= rounds and (begin < end or end == 0):
            return begin, end
    expected = f"'begin,end' with 0 <= begin < end <= {rounds}" + ("" if best is None else ", or 'best'")
    raise InvalidInput(f"parameters.iteration_range: got {value!r}, expected {expected}")
