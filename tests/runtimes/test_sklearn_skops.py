"""``.skops``: what skops trusts, what somebody outside of the file trusts, and nothing else."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelserver import Tensor
from modelserver.testing import InMemoryServer, check_model
from tests.runtimes.estimators import IRIS, ROWS, saved
from tests.runtimes.test_sklearn_methods import count

PLAIN = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, IRIS.target)
#: One step is a function of the author's own, which skops would have to import.
OWN = make_pipeline(FunctionTransformer(count), LogisticRegression(max_iter=500)).fit(IRIS.data, IRIS.target)
TYPE = f"{count.__module__}.count"


def written(directory: Path, estimator: Any, parameters: dict[str, Any] | None = None) -> Path:
    path = directory / "m.skops"
    skops.io.dump(estimator, path)
    if parameters is not None:
        (directory / "model-settings.json").write_text(json.dumps({"parameters": parameters}))
    return path


async def test_what_skops_trusts_is_served_on_every_wire(tmp_path: Path) -> None:
    model = saved(tmp_path, PLAIN)
    model.path = written(tmp_path, PLAIN)
    await check_model(model, [Tensor("input-0", ROWS)])


async def state_of(path: Path) -> tuple[str, str]:
    async with InMemoryServer(path) as server:
        [entry] = server.composition.dataplane.index()
        return entry.state, entry.reason


async def test_other_types_are_not_ready_and_named(tmp_path: Path) -> None:
    assert await state_of(written(tmp_path, OWN)) == (
        "UNAVAILABLE",
        f"m.skops: holds types that are not trusted: {TYPE}; name them in skops_trusted if whoever made the file is",
    )


async def test_a_file_beside_it_trusts_them(tmp_path: Path) -> None:
    assert await state_of(written(tmp_path, OWN, {"skops_trusted": f"other.Type, {TYPE}"})) == ("READY", "")


async def test_the_environment_trusts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSERVER_SKOPS_TRUSTED", TYPE)
    assert await state_of(written(tmp_path, OWN)) == ("READY", "")


@pytest.mark.parametrize("cut", [0, 100, -200])
async def test_a_damaged_file_is_a_reason_in_one_line(tmp_path: Path, cut: int, caplog: Any) -> None:
    path = written(tmp_path, PLAIN)
    path.write_bytes(path.read_bytes()[:cut])
    with caplog.at_level(logging.INFO):
        state, reason = await state_of(path)
    assert state == "UNAVAILABLE"
    assert reason.startswith("m.skops: ")
    assert "\n" not in reason
    assert "Traceback" not in caplog.text


def test_without_skops_the_reason_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skops.io", None)
    model = saved(tmp_path, PLAIN)
    model.path = written(tmp_path, PLAIN)
    with pytest.raises(Exception, match=r'needs the package skops: pip install "modelserver-sklearn\[skops\]"'):
        model.load()
