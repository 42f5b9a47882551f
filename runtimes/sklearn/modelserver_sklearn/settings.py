"""What the runtime can be told: flags, variables, and parameters in ``model-settings.json``."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from modelserver import RuntimeSettings, setting

#: The methods that can answer a request.
Method: TypeAlias = Literal[
    "predict", "predict_proba", "decision_function", "transform", "predict_log_proba", "score_samples"
]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class SklearnSettings(RuntimeSettings):
    """Which method answers, and what a ``.skops`` file may hold."""

    predict_method: Method | None = setting(  # noqa: RUF009 - a field
        None,
        "Method of a scikit-learn model that answers a request which names none;"
        " when not set predict, or transform where there is no predict",
    )
    predict_proba: bool = setting(
        False,
        "Answer probabilities, of scikit-learn models that have them and no other predict_method",
        variables=("PREDICT_PROBA",),
    )
    accelerate: str = setting(
        "auto",
        "Engines besides a model's framework: auto (what is proved equal and faster), off,"
        " or the one of this name: gtil, numpy, lean",
    )
    skops_trusted: str = setting(
        "", "Types that a .skops file may hold besides those that skops itself trusts, separated by commas"
    )
