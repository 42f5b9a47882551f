"""``model-settings.json``: what it takes, what MLServer's files say, and one line for each mistake."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from modelserver import BatchSettings, TensorMetadata
from modelserver.declaration import SettingError
from modelserver.model_settings import PARAMETERS_WITHOUT_EFFECT, WITHOUT_EFFECT, ArtifactSettings, read_beside

PAGE = Path(__file__).parent.parent / "docs/reference/model-settings.md"
X = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}


def settings(**values: object) -> ArtifactSettings:
    return ArtifactSettings.from_mapping(values)


def test_nothing_is_needed() -> None:
    assert settings() == ArtifactSettings()


def test_all_of_ours() -> None:
    found = settings(
        name="iris",
        version=3,
        runtime="sklearn",
        platform="my-platform",
        inputs=[X, {"name": "margin", "datatype": "FP64", "shape": [-1], "optional": True}],
        outputs=[],
        parameters={"predict_method": "predict_proba", "depth": 3},
        batching={"max_batch_size": 8, "max_latency": 0.01},
        execution="thread",
        warmup=[{"instances": [[1, 2, 3, 4]]}],
        sha256="sha256:" + "AB" * 32,
        golden=False,
    )

    assert (found.name, found.served_version, found.runtime_name) == ("iris", "3", "sklearn")
    assert found.inputs == (
        TensorMetadata("x", "FP32", [-1, 4]),
        TensorMetadata("margin", "FP64", [-1], optional=True),
    )
    assert found.outputs == ()
    assert found.model_parameters == {"predict_method": "predict_proba", "depth": 3}
    assert found.batch_settings == BatchSettings(max_batch_size=8, max_latency=0.01)
    assert (found.execution, found.sha256, found.golden) == ("thread", "ab" * 32, False)
    assert isinstance(found.warmup, tuple)
    assert found.warmup[0].instances == [[1, 2, 3, 4]]


def test_a_file_of_mlservers(tmp_path: Path) -> None:
    file = {
        "name": "mnist-svm",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "platform": "sklearn",
        "versions": ["sklearn/1.4"],
        "inputs": [{**X, "parameters": {"content_type": "np"}}],
        "parallel_workers": 0,
        "max_batch_size": 32,
        "max_batch_time": 0.05,
        "parameters": {"uri": "./mnist.joblib", "version": "v0.1.0", "content_type": "np", "extra": {"depth": 2}},
    }
    (tmp_path / "model-settings.json").write_text(json.dumps(file))

    found = read_beside(tmp_path)

    assert found is not None
    assert (found.name, found.served_version, found.runtime_name) == ("mnist-svm", "v0.1.0", "sklearn")
    assert found.uri == "./mnist.joblib"
    assert found.model_parameters == {"depth": 2}
    assert found.batch_settings == BatchSettings(max_batch_size=32, max_latency=0.05)


@pytest.mark.parametrize(
    ("batching", "expected"),
    [
        ({"batching": True}, BatchSettings()),
        ({"batching": False}, BatchSettings(max_batch_size=1)),
        ({"batching": {"maxBatchSize": 4, "maxLatency": 500}}, BatchSettings(max_batch_size=4, max_latency=0.5)),
        ({"max_batch_size": 0}, BatchSettings(max_batch_size=1)),
        ({}, None),
    ],
)
def test_batching(batching: dict[str, object], expected: BatchSettings | None) -> None:
    assert settings(**batching).batch_settings == expected


def test_a_class_of_mlservers_that_is_not_ours_does_nothing() -> None:
    assert settings(implementation="mlserver_lightgbm.LightGBMModel").runtime_name is None


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"nmae": "x"}, "unknown key 'nmae'; did you mean name?"),
        ({"name": ""}, 'name: got "", expected a name without /'),
        ({"name": "a/b"}, 'name: got "a/b", expected a name without /'),
        ({"version": 1.5}, "version: got 1.5, expected a name without /"),
        ({"runtime": 3}, "runtime: got 3, expected a text"),
        ({"execution": "fast"}, 'execution: got "fast", expected one of auto, inline, thread'),
        ({"sha256": "abc"}, 'sha256: got "abc", expected 64 hexadecimal digits'),
        ({"inputs": {}}, "inputs: got {}, expected a list of tensors: name, datatype, shape"),
        ({"inputs": [3]}, "inputs[0]: got 3, expected an object with name, datatype and shape"),
        ({"inputs": [{**X, "dtype": 1}]}, 'inputs[0]: got "dtype", expected name, datatype, shape or optional'),
        ({"inputs": [X, {**X, "name": 1}]}, "inputs[1].name: got 1, expected a text"),
        ({"outputs": [{**X, "shape": [-2]}]}, "outputs[0].shape: got [-2], expected a list of sizes, -1 for any"),
        ({"inputs": [{**X, "optional": 1}]}, "inputs[0].optional: got 1, expected true or false"),
        ({"parameters": []}, "parameters: got [], expected an object of names and values"),
        ({"parameters": {"a": []}}, "parameters.a: got [], expected a boolean, a number or a text"),
        ({"batching": 3}, "batching: got 3, expected true, false, or an object with max_batch_size and max_latency"),
        (
            {"batching": {"max_batch_size": 0}},
            "batching: max_batch_size: got 0, expected a whole number, at least 1",
        ),
        ({"max_batch_time": -1}, "max_batch_time: got -1, expected a number of seconds, at least 0"),
        ({"warmup": 3}, "warmup: got 3, expected true, false, or a list of rows with inputs or instances"),
        ({"golden": "../x"}, 'golden: got "../x", expected a file\'s name, false, or a list of rows'),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(values: dict[str, object], line: str) -> None:
    with pytest.raises(SettingError) as failure:
        ArtifactSettings.from_mapping(values)
    assert str(failure.value) == f"model-settings.json: {line}"


def test_a_datatype_lists_those_that_there_are() -> None:
    with pytest.raises(SettingError, match=r'inputs\[0\].datatype: got "float", expected one of BOOL, .*BYTES'):
        settings(inputs=[{**X, "datatype": "float"}])


def test_a_row_names_its_place() -> None:
    with pytest.raises(SettingError, match=r"warmup: .*row 2: expected one of inputs and instances"):
        settings(warmup=[{"instances": []}, {}])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "model-settings.json: not JSON: Expecting property name enclosed in double quotes"),
        ("[]", "model-settings.json: got [], expected an object"),
    ],
)
def test_a_file_that_is_none(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "model-settings.json").write_text(text)
    with pytest.raises(SettingError, match=re.escape(line)):
        read_beside(tmp_path)


def test_no_file() -> None:
    assert read_beside(Path(__file__).parent) is None


def test_every_key_is_documented_with_what_it_takes() -> None:
    documented = {
        key: (expected, meaning)
        for key, expected, meaning in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    }

    assert documented == {
        item.name: (item.metadata["expected"], item.metadata["help"]) for item in fields(ArtifactSettings)
    }


def test_every_key_without_effect_is_documented() -> None:
    page = PAGE.read_text()
    assert [key for key in (*WITHOUT_EFFECT, *PARAMETERS_WITHOUT_EFFECT) if f"`{key}`" not in page] == []
