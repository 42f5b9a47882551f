"""``Metrics``: what the server counts, and the Prometheus page made from it.

Requests are counted in plain objects (``series.py``); prometheus_client's own counters take a lock and look labels
up, one to two microseconds each. Its metric families are made only when somebody asks for the page, and what users
registered in its default registry, ``python_*`` and ``process_*`` included, is on the same page.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from prometheus_client import REGISTRY, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from modelserver.errors import Code
from modelserver.messages import Context
from modelserver.metadata import ModelStatistics
from modelserver.telemetry.labels import INFERENCE_VERBS, Index, known
from modelserver.telemetry.observer import Observer
from modelserver.telemetry.series import BYTES, SECONDS, HistogramState, Series, SeriesState, add_histograms
from modelserver.telemetry.snapshot import STATES, FamilyState, Key, Snapshot, combined
from modelserver.telemetry.statistics import statistics

#: The page and its content type.
Page: TypeAlias = tuple[bytes, str]

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text"
#: How many names of models may be counted as in flight before the idle ones are dropped.
_NAMES_IN_FLIGHT = 1024
_log = logging.getLogger(__name__)


class Metrics(Observer):
    """Counts requests on the event loop's thread. ``index`` gives the models, ``version`` is the server's.

    ``registry`` is where users' own metrics are.
    """

    def __init__(self, index: Index, version: str = "", registry: Collector = REGISTRY) -> None:
        self._index = index
        self._version = version
        self._registry = registry
        self._series: dict[Key, Series] = {}
        self._in_flight: dict[str, int] = {}

    def started(self, model: str) -> None:
        """One more request for ``model`` is in flight; a ``finished`` with the same name follows."""
        try:
            self._in_flight[model] += 1
        except KeyError:
            self._admit(model)

    def _admit(self, model: str) -> None:
        """Begin to count a name. Clients choose names, so the idle ones are dropped when there are many."""
        if len(self._in_flight) >= _NAMES_IN_FLIGHT:
            self._in_flight = {name: count for name, count in self._in_flight.items() if count}
        self._in_flight[model] = 1

    def finished(
        self,
        context: Context,
        model: str,
        version: str,
        code: Code | None,
        seconds: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """Count an answered request under its labels; unknown models and versions under ``""``."""
        try:
            self._in_flight[model] -= 1
            series = self._series[model, version, context.protocol, context.verb]
        except KeyError:
            series = self._first(model, version, context.protocol, context.verb)
        series.observe(context, code, seconds, request_bytes, response_bytes)

    def _first(self, model: str, version: str, protocol: str, verb: str) -> Series:
        """The series of labels met for the first time, or of an unknown model or version, which have one together."""
        # A verb is a word; doors describe what no route matched by its path, and paths are the clients' to choose.
        key = (*known(self._index(), model, version), protocol, verb if verb.isidentifier() else "other")
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(verb)
        return series

    def statistics(self, model: str, version: str) -> ModelStatistics:
        """What the statistics routes answer for this version of the model, from this process alone."""
        series = self._series.items()
        return statistics(
            model,
            version,
            [each.state() for key, each in series if key[:2] == (model, version) and key[3] in INFERENCE_VERBS],
        )

    def render(self, accept: str | None = None) -> Page:
        """This process's page: text format 0.0.4, or OpenMetrics where the ``Accept`` header asks for it."""
        return _page(_families(self._own()), _collected(self._registry), accept)

    def snapshot(self) -> Snapshot:
        """This process's numbers and its registry's, for ``merge``."""
        registered = [_state_of(family) for family in _collected(self._registry)]
        return {**self._own(), "registered": registered}

    def _own(self) -> Snapshot:
        index = self._index()
        in_flight = {entry.name: 0 for entry in index}
        for model, count in self._in_flight.items():
            name, _ = known(index, model, "")
            in_flight[name] = in_flight.get(name, 0) + count
        return {
            "pid": os.getpid(),
            "version": self._version,
            "series": {key: series.state() for key, series in self._series.items()},
            "in_flight": in_flight,
            "index": {(entry.name, entry.version): entry.state for entry in index},
            "properties": {(e.name, e.version): dict(e.properties) for e in index if e.properties},
            "registered": [],
        }


def merge(snapshots: Sequence[Snapshot], accept: str | None = None) -> Page:
    """One page for several worker processes (at least one): see ``combined`` for what adds up."""
    whole = combined(snapshots)
    return _page(_families(whole), [_family_of(state) for state in whole["registered"]], accept)


class _Families:
    """What prometheus_client renders: anything that can collect."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _page(ours: list[Metric], registered: list[Metric], accept: str | None) -> Page:
    names = {family.name for family in ours}  # a page has a name once, and KServe's SDK registers four of ours
    families = _Families(ours + [family for family in registered if family.name not in names])
    if any(part.partition(";")[0].strip().lower() == _OPENMETRICS for part in (accept or "").split(",")):
        page: bytes = openmetrics.generate_latest(families)  # type: ignore[no-untyped-call]
        return page, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(families), _TEXT


def _collected(registry: Collector) -> list[Metric]:
    try:
        return list(registry.collect())
    except Exception:  # noqa: BLE001 - anybody's code; our numbers matter most when something is broken
        _log.exception("a collector in prometheus_client's registry failed; the page goes without the registry")
        return []


def _state_of(family: Metric) -> FamilyState:
    samples = [(sample.name, tuple(sample.labels.items()), sample.value) for sample in family.samples]
    return {
        "name": family.name,
        "documentation": family.documentation,
        "type": family.type,
        "samples": samples,
    }


def _family_of(state: FamilyState) -> Metric:
    family = Metric(state["name"], state["documentation"], state["type"])
    for name, labels, value in state["samples"]:
        family.add_sample(name, dict(labels), value)
    return family


class _Row(NamedTuple):
    """One histogram of the page: which numbers of a series, under which labels, of which verbs, in which buckets."""

    name: str
    documentation: str
    source: str
    #: Label name to its place in a series' key.
    labels: Mapping[str, int]
    verbs: frozenset[str] | None
    #: Upper bound (``le``) to its slot in the series' histogram.
    buckets: Mapping[str, int]


_TIME_BUCKETS = {str(bound): slot for slot, bound in enumerate(SECONDS)}
# The client library's default bounds, which KServe's histograms have.
_KSERVE_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_KSERVE_BUCKETS = {str(bound): SECONDS.index(bound) for bound in _KSERVE_BOUNDS}
_BYTE_BUCKETS = {str(bound): slot for slot, bound in enumerate(BYTES)}
_PREDICT, _EXPLAIN = frozenset({"predict"}), frozenset({"explain"})
_VERSION = {"model": 0, "version": 1}
_SIZE = {"model": 0, "protocol": 2}
_REQUEST = {"model": 0, "version": 1, "protocol": 2, "method": 3}
_MODEL = {"model_name": 0}

_ROWS = (
    _Row(
        "modelserver_request_duration_seconds", "Whole time on the server.", "duration", _REQUEST, None, _TIME_BUCKETS
    ),
    _Row("modelserver_queue_seconds", "Time waited for the model.", "queue", _VERSION, INFERENCE_VERBS, _TIME_BUCKETS),
    _Row("modelserver_predict_seconds", "Time in the model's predict.", "predict", _VERSION, _PREDICT, _TIME_BUCKETS),
    _Row("modelserver_request_bytes", "Size of request bodies.", "request_bytes", _SIZE, None, _BYTE_BUCKETS),
    _Row("modelserver_response_bytes", "Size of answers' bodies.", "response_bytes", _SIZE, None, _BYTE_BUCKETS),
    _Row("request_preprocess_seconds", "Time in preprocess.", "preprocess", _MODEL, INFERENCE_VERBS, _KSERVE_BUCKETS),
    _Row("request_predict_seconds", "Time in predict.", "predict", _MODEL, _PREDICT, _KSERVE_BUCKETS),
    _Row(
        "request_postprocess_seconds", "Time in postprocess.", "postprocess", _MODEL, INFERENCE_VERBS, _KSERVE_BUCKETS
    ),
    _Row("request_explain_seconds", "Time in explain.", "predict", _MODEL, _EXPLAIN, _KSERVE_BUCKETS),
)


def _families(snapshot: Snapshot) -> list[Metric]:
    series = snapshot["series"]
    labels = ["model", "version", "protocol", "method", "code"]
    requests = CounterMetricFamily("modelserver_requests", "Requests answered; a success is OK.", labels=labels)
    for key, state in series.items():
        for code, count in state["answers"].items():
            requests.add_metric([*key, code], count)
    in_flight = GaugeMetricFamily("modelserver_in_flight", "Requests being answered.", labels=["model"])
    for model, count in snapshot["in_flight"].items():
        in_flight.add_metric([model], count)
    build = {"version": snapshot["version"], "python": platform.python_version()}
    return [
        requests,
        in_flight,
        *_models(snapshot["index"]),
        *_properties(snapshot["properties"]),
        InfoMetricFamily("modelserver_build", "The version of the server and of Python.", build),
        *(_folded(series, row) for row in _ROWS),
    ]


def _models(index: Mapping[tuple[str, str], str]) -> tuple[Metric, Metric]:
    counts = dict.fromkeys(STATES, 0)
    ready = GaugeMetricFamily("modelserver_model_ready", "1 when the model can serve.", labels=["model", "version"])
    for (model, version), state in index.items():
        counts[state] = counts.get(state, 0) + 1
        ready.add_metric([model, version], int(state == "READY"))
    models = GaugeMetricFamily("modelserver_models", "Versions of models in the repository.", labels=["state"])
    for state, count in counts.items():
        models.add_metric([state], count)
    return models, ready


def _properties(properties: Mapping[tuple[str, str], Mapping[str, str]]) -> Iterable[Metric]:
    labels = ["model", "version", "property", "value"]
    family = GaugeMetricFamily("modelserver_model_property", "What a model says of itself; always 1.", labels=labels)
    for (model, version), values in properties.items():
        for name, value in values.items():
            family.add_metric([model, version, name, value], 1)
    if family.samples:
        yield family


def _folded(series: Mapping[Key, SeriesState], row: _Row) -> Metric:
    """One family: the histograms of the series that have the row's labels in common, added up."""
    alike: dict[tuple[str, ...], list[HistogramState]] = {}
    for key, state in series.items():
        if row.verbs is None or key[3] in row.verbs:
            values = tuple(key[place] for place in row.labels.values())
            alike.setdefault(values, []).append(state["histograms"][row.source])
    family = HistogramMetricFamily(row.name, row.documentation, labels=list(row.labels))
    for values, histograms in alike.items():
        counts, total = add_histograms(histograms)
        if not any(counts):
            continue  # requests that were all refused before this stage
        below = list(accumulate(counts))
        buckets = [(bound, float(below[slot])) for bound, slot in row.buckets.items()]
        family.add_metric(values, [*buckets, ("+Inf", float(below[-1]))], total)
    return family
