"""``model-settings.json`` beside files: which file, which runtime, which name, and settings of a runtime."""

from __future__ import annotations

import json
import re
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modelserver import InferRequest, Tensor
from modelserver.testing import InMemoryServer
from tests.runtimes.estimators import IRIS


def place(directory: Path, *names: str, **settings: object) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        joblib.dump(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target + 10 * number), directory / name)
    (directory / "model-settings.json").write_text(json.dumps(settings))
    return directory


async def label(server: InMemoryServer, name: str) -> list[float]:
    row = Tensor("input-0", np.array([[6.8, 2.8, 4.8, 1.4]]))
    answer = await server.infer("grpc-raw", InferRequest(name, [row]))
    assert isinstance(answer["output-0"], np.ndarray)
    return answer["output-0"].ravel().tolist()


async def test_mlservers_uri_chooses_among_files(tmp_path: Path) -> None:
    place(tmp_path, "a.joblib", "b.joblib", name="iris", parameters={"uri": "./b.joblib", "version": "v0.1.0"})
    async with InMemoryServer(tmp_path) as server:
        assert server.composition.dataplane.model_metadata("iris").versions == ["v0.1.0"]
        assert await label(server, "iris") == [11]


async def test_a_runtime_for_a_file_that_none_recognises(tmp_path: Path) -> None:
    place(tmp_path, "weights.bin", parameters={"uri": "weights.bin"}, implementation="mlserver_sklearn.SKLearnModel")
    async with InMemoryServer(tmp_path) as server:
        assert await label(server, "model") == [1]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"parameters": {"uri": "../x.joblib"}}, "parameters.uri: got '../x.joblib', expected a file in the model's"),
        ({"parameters": {"uri": "x.joblib"}}, "parameters.uri: got 'x.joblib', and there is no such file"),
        ({"parameters": {"uri": "notes.txt"}}, "notes.txt: no installed runtime reads it"),
        ({"runtime": "sklaern"}, "model-settings.json: runtime: got 'sklaern', expected one of "),
        ({"nmae": 1}, "model-settings.json: unknown key 'nmae'; did you mean name?"),
    ],
)
async def test_mistakes_are_one_line(settings: dict[str, object], line: str, tmp_path: Path) -> None:
    place(tmp_path / "one", "a.joblib", **settings)
    (tmp_path / "one/notes.txt").write_text("notes")
    with pytest.raises(ValueError, match=re.escape(line)):
        await InMemoryServer(tmp_path / "one").__aenter__()

    place(tmp_path / "good", "a.joblib")
    async with InMemoryServer(tmp_path) as server:  # in a repository it is that model's own failure
        dataplane = server.composition.dataplane
        assert line in dataplane.why_model_not_ready("one")
        assert dataplane.model_ready("good")


async def test_in_a_repository_the_directory_names_the_model(tmp_path: Path) -> None:
    place(tmp_path / "iris", "a.joblib", name="other")
    place(tmp_path / "wine", "a.joblib", name="wine")
    async with InMemoryServer(tmp_path) as server:
        dataplane = server.composition.dataplane
        assert dataplane.why_model_not_ready("iris") == (
            "model-settings.json: name: got 'other', expected 'iris', as its directory is called"
        )
        assert dataplane.model_ready("wine")


async def test_parameters_are_settings_of_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, "a.joblib", parameters={"predict_method": "predict_proba"})
    async with InMemoryServer(tmp_path) as server:
        assert len(await label(server, "model")) == 3

    monkeypatch.setenv("MODELSERVER_PREDICT_METHOD", "predict")  # what starts the server is stronger
    async with InMemoryServer(tmp_path) as server:
        assert await label(server, "model") == [1]


async def test_a_wrong_parameter_names_the_key(tmp_path: Path) -> None:
    place(tmp_path, "a.joblib", parameters={"predict_method": "guess"})
    async with InMemoryServer(tmp_path) as server:
        reason = server.composition.dataplane.why_model_not_ready("model")
    assert "predict_method: got 'guess'" in reason
