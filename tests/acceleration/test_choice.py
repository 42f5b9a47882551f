"""Engines are used only for what they were proved for; everything else is the framework's."""

import logging

import numpy as np
import pytest

from modelserver.acceleration import SIZES, Accelerated, Engine, accelerated, difference, probe_rows, probes_near


def framework(rows: np.ndarray) -> np.ndarray:
    if not np.isfinite(rows).all():
        raise ValueError("not finite")
    return rows.sum(axis=1) + 0.0


def slow(rows: np.ndarray) -> np.ndarray:
    for _ in range(2000):  # so much more than the sum that no noise hides it
        rows = np.array(rows)
    return framework(rows)


def probes() -> np.ndarray:
    return probes_near(np.zeros(3), np.ones(3))


def made(engine: Engine, asked: str = "auto", base: Engine = framework, exact: bool = False) -> Accelerated:
    return accelerated("m", base, {"quick": lambda: engine}, probes, asked, exact=exact)


def test_a_faster_engine_with_equal_answers_serves_every_size() -> None:
    found = made(framework, base=slow)

    assert [(choice.engine, choice.range) for choice in found.choices] == [("quick", "1+")]
    assert found.properties["engines"] == "quick: 1+ rows"


def test_an_engine_that_is_no_faster_is_not_used() -> None:
    assert made(slow).properties["engines"] == "framework: 1+ rows"


def test_a_forged_mismatch_falls_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = made(lambda rows: framework(rows) + (np.arange(len(rows)) == 7), base=slow)

    assert not found.active
    assert "quick answers differ from the framework's for 256 probe rows" in found.properties["engines_reason"]
    assert "at [7]" in caplog.text
    rows = np.ones((9, 3))
    assert found(rows).tolist() == framework(rows).tolist()


def test_an_engine_that_was_asked_for_and_differs_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    found = made(lambda rows: framework(rows) + 1, asked="quick")

    assert found.properties["engines"] == "framework: 1+ rows"
    assert [record.levelname for record in caplog.records if "not used" in record.message] == ["WARNING"]


def test_an_engine_asked_for_by_name_is_not_timed() -> None:
    assert made(slow, asked="quick").properties["engines"] == "quick: 1+ rows"


def test_a_name_that_is_no_engine_leaves_the_framework() -> None:
    reason = made(framework, asked="quik").properties["engines_reason"]

    assert reason == "quik is no engine of this model, which has quick"


def test_off_builds_nothing() -> None:
    def make() -> Engine:
        raise AssertionError

    found = accelerated("m", framework, {"quick": make}, probes, "off")

    assert found.properties == {"accelerate": "off", "engines": "framework: 1+ rows", "engines_reason": ""}


def test_an_engine_that_cannot_be_built_is_a_reason() -> None:
    def make() -> Engine:
        raise ModuleNotFoundError("no treelite")

    found = accelerated("m", framework, {"quick": make}, probes)

    assert found.reasons == {"quick": "cannot be built: ModuleNotFoundError: no treelite"}


def test_probe_rows_that_the_framework_refuses_leave_the_framework() -> None:
    def refuses(rows: np.ndarray) -> np.ndarray:
        raise ValueError("positive numbers only")

    assert made(framework, base=refuses).reasons == {
        "framework": "refuses probe rows: ValueError: positive numbers only"
    }


def test_a_framework_that_is_slow_by_the_row_is_left_alone() -> None:
    def by_the_row(rows: np.ndarray) -> np.ndarray:
        for _ in range(200_000 * len(rows)):
            pass
        return framework(rows)

    assert "its calls are not what costs" in made(framework, base=by_the_row).reasons["framework"]


@pytest.mark.parametrize(
    ("rows", "quick"),
    [
        (np.ones((2, 3)), True),
        (np.ones((2, 3), np.float32), True),
        (np.ones((2, 3), np.int64), True),
        (np.ones((2, 3), np.int32), False),
        (np.ones((2, 3), ">f8"), False),
        (np.ones((2, 3), object), False),
        (np.ones((0, 3)), False),
        (np.ones((2, 4)), False),
        (np.ones(3), False),
        ([[1.0, 2.0, 3.0]], False),
        (np.array([[1.0, np.nan, 3.0]]), False),
        (np.array([[1.0, np.inf, -np.inf]]), False),
        (np.array([[4e38, -4e38, 0.0]]), False),
    ],
)
def test_rows_that_were_not_proved_are_the_framework_s(rows: object, quick: bool) -> None:
    assert (made(framework, asked="quick").engine_for(rows) is not None) is quick


def test_missing_values_are_the_engine_s_when_they_were_proved_equal() -> None:
    found = made(lambda rows: np.nansum(rows, axis=1), "quick", base=lambda rows: np.nansum(rows, axis=1))

    assert found.engine_for(np.array([[1.0, np.nan, 3.0]])) is not None
    assert found.engine_for(np.array([[1.0, np.nan, np.inf]])) is None
    assert found.engine_for(np.full((1, 3), np.nan)) is None


def test_missing_values_that_differ_are_the_framework_s() -> None:
    found = made(lambda rows: rows.sum(axis=1), "quick", base=lambda rows: np.nansum(rows, axis=1))

    assert found.active
    assert found.engine_for(np.array([[1.0, np.nan, 3.0]])) is None


def test_exact_allows_no_bit_to_differ() -> None:
    def other_order(rows: np.ndarray) -> np.ndarray:
        return rows[:, 2] + rows[:, 1] + rows[:, 0] + 0.0

    assert made(other_order, "quick").active
    assert not made(other_order, "quick", exact=True).active


def test_every_size_has_one_choice() -> None:
    choices = made(framework, base=slow).choices

    assert choices[0].first == 1
    assert choices[-1].last is None
    assert choices[0].timed_rows == SIZES[0]


ARRAY = np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (ARRAY, ARRAY + 1e-12, True),
        (ARRAY, ARRAY + 1e-11, False),
        (ARRAY.astype(np.float32), (ARRAY + 1e-6).astype(np.float32), True),
        (ARRAY, ARRAY.astype(np.float32), False),
        (ARRAY, ARRAY.reshape(1, 2), False),
        (np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), True),
        (np.array([np.nan, 1.0]), np.array([1.0, 1.0]), False),
        (np.array([np.inf, 1.0]), np.array([np.inf, 1.0]), True),
        (np.array(["a", "b"]), np.array(["a", "c"]), False),
        (np.array([1, 2]), np.array([1, 2]), True),
        ([ARRAY, ARRAY], [ARRAY, ARRAY], True),
        ([ARRAY, ARRAY], [ARRAY, -ARRAY], False),
        ([ARRAY], ARRAY, False),
        ("text", "text", False),
    ],
)
def test_what_counts_as_equal(expected: object, actual: object, same: bool) -> None:
    assert (difference(expected, actual) == "") is same


def test_probe_rows_are_on_and_beside_the_thresholds() -> None:
    rows = probe_rows([np.array([0.1]), np.array([])])

    assert rows.shape == (256, 2)
    assert {0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0), float(np.float32(0.1))} <= set(rows[:, 0])
    assert np.array_equal(rows, probe_rows([np.array([0.1]), np.array([])]))
