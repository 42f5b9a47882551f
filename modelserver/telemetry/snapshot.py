"""What one process counted, as picklable data, and how several processes add up to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

from modelserver.telemetry.series import SeriesState, add_states

#: model, version, protocol, verb
Key: TypeAlias = tuple[str, str, str, str]
#: name, label pairs, value
SampleState: TypeAlias = tuple[str, tuple[tuple[str, str], ...], float]

#: From the best state of a model to the worst: several processes are as ready as the least ready one.
STATES = ("READY", "LOADING", "UNLOADING", "UNAVAILABLE")
_ADDABLE = frozenset({"counter", "histogram", "summary", "gaugehistogram"})


class FamilyState(TypedDict):
    """A metric family that somebody registered with prometheus_client."""

    name: str
    documentation: str
    type: str
    samples: list[SampleState]


class Snapshot(TypedDict):
    """Everything one process counted; workers send theirs to whoever makes the page."""

    pid: int
    version: str
    series: dict[Key, SeriesState]
    in_flight: dict[str, int]
    #: (model, version) to state
    index: dict[tuple[str, str], str]
    #: (model, version) to the model's properties
    properties: dict[tuple[str, str], dict[str, str]]
    registered: list[FamilyState]


def combined(snapshots: Sequence[Snapshot]) -> Snapshot:
    """One snapshot (``pid`` 0) for at least one process.

    Counts and requests in flight add up; a model is in the worst state it has anywhere, and says of itself what it
    says in one of them. Registered counters,
    histograms and summaries add up; the samples of other families get the label ``pid``.
    """
    states: dict[Key, list[SeriesState]] = {}
    in_flight: dict[str, int] = {}
    index: dict[tuple[str, str], str] = {}
    properties: dict[tuple[str, str], dict[str, str]] = {}
    for snapshot in snapshots:
        for key, state in snapshot["series"].items():
            states.setdefault(key, []).append(state)
        for model, count in snapshot["in_flight"].items():
            in_flight[model] = in_flight.get(model, 0) + count
        for entry, word in snapshot["index"].items():
            index[entry] = max(index.get(entry, word), word, key=_badness)
        for entry, said in snapshot["properties"].items():  # the same one's on every page
            properties[entry] = min(properties.get(entry, said), said, key=lambda one: sorted(one.items()))
    return {
        "pid": 0,
        "version": snapshots[0]["version"],
        "series": {key: add_states(several) for key, several in states.items()},
        "in_flight": in_flight,
        "index": index,
        "properties": properties,
        "registered": _registered(snapshots),
    }


def _badness(state: str) -> int:
    return STATES.index(state) if state in STATES else len(STATES)


def _registered(snapshots: Sequence[Snapshot]) -> list[FamilyState]:
    families: dict[str, FamilyState] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for snapshot in snapshots:
        pid = ("pid", str(snapshot["pid"]))
        for family in snapshot["registered"]:
            families.setdefault(family["name"], family)
            sums = values.setdefault(family["name"], {})
            for name, labels, value in family["samples"]:
                sample = (name, labels if family["type"] in _ADDABLE else (*labels, pid))
                if name.endswith("_created"):
                    sums[sample] = min(sums.get(sample, value), value)
                else:
                    sums[sample] = sums.get(sample, 0) + value
    return [
        {**family, "samples": [(*sample, value) for sample, value in values[name].items()]}
        for name, family in families.items()
    ]
