"""The numbers behind ``GET /v2/models/{m}/stats`` and ``ModelStatistics``, from what ``Metrics`` counted."""

from __future__ import annotations

from collections.abc import Iterable

from modelserver.metadata import Duration, ModelStatistics
from modelserver.telemetry.labels import INFERENCE_VERBS
from modelserver.telemetry.series import SeriesState, add_states
from modelserver.telemetry.snapshot import Snapshot


def statistics(model: str, version: str, states: Iterable[SeriesState]) -> ModelStatistics:
    """The statistics of one version of a model whose inference series are ``states``; all zero when there are none.

    Stages are of successes only, as in Triton: input is decoding and preprocess, output postprocess and encoding.
    """
    several = list(states)
    if not several:
        return ModelStatistics(name=model, version=version)
    whole = add_states(several)
    sums = whole["sums"]
    count = int(sums["successes"])

    def duration(stage: str) -> Duration:
        return Duration(count=count, ns=round(sums[stage] * 1e9))

    return ModelStatistics(
        name=model,
        version=version,
        last_inference=int(whole["last"] * 1e3),
        inferences=int(sums["inferences"]),
        executions=count,
        success=duration("success"),
        fail=Duration(count=int(sums["failures"]), ns=round(sums["fail"] * 1e9)),
        queue=duration("queue"),
        compute_input=duration("input"),
        compute_infer=duration("infer"),
        compute_output=duration("output"),
    )


def statistics_of(snapshots: Iterable[Snapshot], model: str, version: str) -> ModelStatistics:
    """The statistics of one version of a model, added up over the snapshots of several processes."""
    return statistics(
        model,
        version,
        [
            state
            for snapshot in snapshots
            for key, state in snapshot["series"].items()
            if key[:2] == (model, version) and key[3] in INFERENCE_VERBS
        ],
    )
