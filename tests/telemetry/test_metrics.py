from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from modelserver.errors import Code
from modelserver.messages import Context
from modelserver.metadata import Duration, IndexEntry, ModelStatistics
from modelserver.telemetry.metrics import Metrics, Page, merge

INDEX = [IndexEntry("iris", "1", "READY"), IndexEntry("iris", "2", "LOADING"), IndexEntry("broken", "1", "UNAVAILABLE")]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def context_of(verb: str = "predict", protocol: str = "v2", **stages: float) -> Context:
    context = Context(id="a", protocol=protocol)
    context.verb = verb
    for stage, seconds in stages.items():
        setattr(context, stage, seconds)
    return context


def answer(
    metrics: Metrics,
    context: Context | None = None,
    model: str = "iris",
    version: str = "1",
    code: Code | None = None,
    seconds: float = 0.02,
    request_bytes: int = 100,
    response_bytes: int = 50,
) -> None:
    metrics.started(model)
    metrics.finished(context or context_of(), model, version, code, seconds, request_bytes, response_bytes)


def samples(page: Page) -> dict[str, float]:
    body, content_type = page
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {
        sample.name + "{" + ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items())) + "}": sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(lambda: INDEX, "1.2.3", registry)


def test_names_and_types_on_the_page(metrics: Metrics):
    answer(metrics)
    types = {family.name: family.type for family in parse_text(metrics.render()[0].decode())}
    assert types == {
        "modelserver_requests": "counter",
        "modelserver_in_flight": "gauge",
        "modelserver_models": "gauge",
        "modelserver_model_ready": "gauge",
        "modelserver_build_info": "gauge",
        "modelserver_request_duration_seconds": "histogram",
        "modelserver_queue_seconds": "histogram",
        "modelserver_predict_seconds": "histogram",
        "modelserver_request_bytes": "histogram",
        "modelserver_response_bytes": "histogram",
        "request_preprocess_seconds": "histogram",
        "request_predict_seconds": "histogram",
        "request_postprocess_seconds": "histogram",
        "request_explain_seconds": "histogram",
    }


@pytest.mark.parametrize(
    "name", ["request_preprocess_seconds", "request_predict_seconds", "request_postprocess_seconds"]
)
def test_kserve_histograms_are_what_the_client_library_would_make(metrics: Metrics, name: str):
    theirs = CollectorRegistry()
    histogram = Histogram(name, "theirs", ["model_name"], registry=theirs)
    stages = {"preprocess": 0.005, "predict": 0.3, "postprocess": 11.0}
    histogram.labels("iris").observe(stages[name.split("_")[1]])
    answer(metrics, context_of(**stages))
    [expected] = [family for family in theirs.collect() if family.name == name]
    [actual] = [family for family in parse_text(metrics.render()[0].decode()) if family.name == name]
    wanted = [(s.name, s.labels, s.value) for s in expected.samples if not s.name.endswith("_created")]
    assert [(s.name, s.labels, s.value) for s in actual.samples] == wanted


def test_explain_has_its_own_histogram(metrics: Metrics):
    answer(metrics, context_of("explain", predict=0.5))
    page = samples(metrics.render())
    assert page["request_explain_seconds_sum{model_name=iris}"] == 0.5
    assert page["request_preprocess_seconds_count{model_name=iris}"] == 1
    assert "request_predict_seconds_count{model_name=iris}" not in page


def test_requests_are_counted_by_code(metrics: Metrics):
    answer(metrics)
    answer(metrics)
    answer(metrics, code=Code.INVALID_ARGUMENT)
    page = samples(metrics.render())
    prefix = "modelserver_requests_total{code="
    assert {name: value for name, value in page.items() if name.startswith(prefix)} == {
        prefix + "OK,method=predict,model=iris,protocol=v2,version=1}": 2,
        prefix + "INVALID_ARGUMENT,method=predict,model=iris,protocol=v2,version=1}": 1,
    }


def test_names_that_clients_make_up_share_one_series(metrics: Metrics):
    for number in range(100):
        answer(metrics, model=f"made-up-{number}", code=Code.NOT_FOUND)
        answer(metrics, version=f"{number + 10}", code=Code.NOT_FOUND)
        answer(metrics, context_of(f"GET /made/up/{number}"), model="", version="", code=Code.NOT_FOUND)
    page = samples(metrics.render())
    assert {name: value for name, value in page.items() if name.startswith("modelserver_requests_total")} == {
        "modelserver_requests_total{code=NOT_FOUND,method=predict,model=,protocol=v2,version=}": 100,
        "modelserver_requests_total{code=NOT_FOUND,method=predict,model=iris,protocol=v2,version=}": 100,
        "modelserver_requests_total{code=NOT_FOUND,method=other,model=,protocol=v2,version=}": 100,
    }


def test_in_flight_rises_and_falls(metrics: Metrics):
    def in_flight() -> dict[str, float]:
        page = samples(metrics.render())
        return {name: value for name, value in page.items() if name.startswith("modelserver_in_flight")}

    for model in ("iris", "iris", "iris", "nobody", "no-one"):
        metrics.started(model)
    assert in_flight() == {
        "modelserver_in_flight{model=iris}": 3,
        "modelserver_in_flight{model=broken}": 0,
        "modelserver_in_flight{model=}": 2,
    }
    for model in ("iris", "iris", "nobody", "no-one"):
        metrics.finished(context_of(), model, "1", None, 0.1, 1, 1)
    assert in_flight()["modelserver_in_flight{model=iris}"] == 1
    assert in_flight().get("modelserver_in_flight{model=}", 0) == 0


def test_in_flight_survives_many_names(metrics: Metrics):
    metrics.started("iris")
    for number in range(5000):
        answer(metrics, model=f"made-up-{number}", code=Code.NOT_FOUND)
    page = samples(metrics.render())
    assert page["modelserver_in_flight{model=iris}"] == 1
    assert page["modelserver_in_flight{model=}"] == 0


def test_models_by_state_and_ready(metrics: Metrics):
    page = samples(metrics.render())
    assert page["modelserver_models{state=READY}"] == 1
    assert page["modelserver_models{state=UNLOADING}"] == 0
    assert page["modelserver_model_ready{model=iris,version=1}"] == 1
    assert page["modelserver_model_ready{model=broken,version=1}"] == 0


def test_stages_show_only_for_requests_that_reached_the_model(metrics: Metrics):
    answer(metrics, code=Code.INVALID_ARGUMENT)
    answer(metrics, context_of(queue=0.2), code=Code.DEADLINE_EXCEEDED)
    answer(metrics, context_of(predict=0.1), code=Code.INTERNAL)
    answer(metrics, context_of("metadata"))
    page = samples(metrics.render())
    assert page["modelserver_predict_seconds_count{model=iris,version=1}"] == 1
    assert page["modelserver_queue_seconds_count{model=iris,version=1}"] == 2
    assert page["modelserver_queue_seconds_sum{model=iris,version=1}"] == 0.2
    duration = "modelserver_request_duration_seconds_count{method=%s,model=iris,protocol=v2,version=1}"
    assert (page[duration % "predict"], page[duration % "metadata"]) == (3, 1)


@pytest.mark.parametrize(
    ("size", "bound", "within"), [(64, "64.0", 1), (65, "64.0", 0), (65, "256.0", 1), (0, "64.0", 1)]
)
def test_sizes_fall_in_their_buckets(metrics: Metrics, size: int, bound: str, within: int):
    answer(metrics, request_bytes=size)
    page = samples(metrics.render())
    assert page[f"modelserver_request_bytes_bucket{{le={bound},model=iris,protocol=v2}}"] == within
    assert page["modelserver_request_bytes_sum{model=iris,protocol=v2}"] == size


def test_thousands_of_requests_add_up(metrics: Metrics):
    for _ in range(1300):
        answer(metrics, context_of(predict=0.004, queue=0.001))
        answer(metrics, code=Code.UNAVAILABLE)
    page = samples(metrics.render())
    assert page["request_predict_seconds_count{model_name=iris}"] == 1300
    assert page["request_predict_seconds_bucket{le=0.005,model_name=iris}"] == 1300
    assert page["modelserver_queue_seconds_sum{model=iris,version=1}"] == pytest.approx(1.3)
    assert page["modelserver_request_bytes_count{model=iris,protocol=v2}"] == 2600


def test_a_model_that_only_refused_has_no_stages(metrics: Metrics):
    answer(metrics, code=Code.INVALID_ARGUMENT)
    page = samples(metrics.render())
    assert not [name for name in page if name.startswith(("request_predict", "modelserver_queue"))]


def test_openmetrics_on_request(metrics: Metrics):
    answer(metrics)
    text, openmetrics = metrics.render("text/plain"), metrics.render(OPENMETRICS)
    assert text[1] == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics[1].startswith(OPENMETRICS)
    assert openmetrics[0].endswith(b"# EOF\n")
    assert samples(openmetrics) == samples(text)


@pytest.mark.parametrize("accept", [None, "", "*/*", ";;,", "application/openmetrics-text;version=x;q=y", "\xff"])
def test_any_accept_header_gets_a_page(metrics: Metrics, accept: str | None):
    assert samples(metrics.render(accept))


def test_users_own_metrics_are_on_the_page(metrics: Metrics, registry: CollectorRegistry):
    Counter("widgets", "made by a model", ["color"], registry=registry).labels("red").inc(3)
    assert samples(metrics.render())["widgets_total{color=red}"] == 3


def test_the_default_registry_is_on_the_page():
    page = samples(Metrics(lambda: INDEX).render())
    assert any(name.startswith("python_info{") for name in page)
    assert "process_cpu_seconds_total{}" in page


def test_a_name_of_ours_in_the_registry_appears_once(metrics: Metrics, registry: CollectorRegistry):
    Histogram("request_predict_seconds", "KServe's SDK registers it", ["model_name"], registry=registry)
    assert metrics.render()[0].count(b"# TYPE request_predict_seconds ") == 1


def test_a_broken_collector_does_not_take_the_page(
    metrics: Metrics, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
):
    gauge = Gauge("fragile", "raises when it is read", registry=registry)
    gauge.set_function(lambda: 1 / 0)
    answer(metrics)
    assert samples(metrics.render())["modelserver_in_flight{model=iris}"] == 0
    assert "goes without" in caplog.text


def worker(index: list[IndexEntry], pid: int, fill: Callable[[Metrics, CollectorRegistry], None]) -> bytes:
    registry = CollectorRegistry()
    metrics = Metrics(lambda: index, "1.2.3", registry)
    fill(metrics, registry)
    return pickle.dumps({**metrics.snapshot(), "pid": pid})


def test_workers_add_up():
    def first(metrics: Metrics, registry: CollectorRegistry) -> None:
        answer(metrics, context_of(predict=0.5))
        metrics.started("iris")
        Counter("widgets", "made by a model", registry=registry).inc(3)
        Gauge("temperature", "of this process", registry=registry).set(20)

    def second(metrics: Metrics, registry: CollectorRegistry) -> None:
        answer(metrics, context_of(predict=0.25))
        answer(metrics, context_of(protocol="v1"), code=Code.INTERNAL)
        metrics.started("iris")
        Counter("widgets", "made by a model", registry=registry).inc(4)
        Gauge("temperature", "of this process", registry=registry).set(30)

    loading = [IndexEntry("iris", "1", "LOADING")]
    snapshots = [pickle.loads(each) for each in (worker(INDEX[:1], 1, first), worker(loading, 2, second))]
    page = samples(merge(snapshots))
    assert page["modelserver_requests_total{code=OK,method=predict,model=iris,protocol=v2,version=1}"] == 2
    assert page["modelserver_requests_total{code=INTERNAL,method=predict,model=iris,protocol=v1,version=1}"] == 1
    assert page["request_predict_seconds_sum{model_name=iris}"] == 0.75
    assert page["modelserver_in_flight{model=iris}"] == 2
    assert page["modelserver_model_ready{model=iris,version=1}"] == 0
    assert page["widgets_total{}"] == 7
    assert (page["temperature{pid=1}"], page["temperature{pid=2}"]) == (20, 30)
    assert samples(merge(snapshots, OPENMETRICS)) == page


def test_one_worker_merged_is_its_own_page(metrics: Metrics):
    answer(metrics, context_of(predict=0.5))
    assert samples(merge([metrics.snapshot()])) == samples(metrics.render())


def test_statistics_of_a_version(metrics: Metrics):
    stages = {
        "decode": 0.001,
        "preprocess": 0.002,
        "queue": 0.003,
        "predict": 0.004,
        "postprocess": 0.005,
        "encode": 0.006,
    }
    answer(metrics, context_of(**stages, batch_size=5), seconds=0.5)
    answer(metrics, context_of("explain", "v1", predict=0.006), seconds=0.25)
    answer(metrics, code=Code.INTERNAL, seconds=0.125)
    answer(metrics, context_of("metadata"))
    answer(metrics, version="2")
    actual = metrics.statistics("iris", "1")
    assert actual.last_inference > 1_700_000_000_000
    assert actual == ModelStatistics(
        name="iris",
        version="1",
        last_inference=actual.last_inference,
        inferences=6,
        executions=2,
        success=Duration(2, 750_000_000),
        fail=Duration(1, 125_000_000),
        queue=Duration(2, 3_000_000),
        compute_input=Duration(2, 3_000_000),
        compute_infer=Duration(2, 10_000_000),
        compute_output=Duration(2, 11_000_000),
    )


def test_statistics_of_a_model_without_requests(metrics: Metrics):
    assert metrics.statistics("iris", "1") == ModelStatistics(name="iris", version="1")
