"""Files that no runtime can serve: each has its reason in one line, is not ready, and shows nobody a traceback."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

from modelserver import ModelNotReady
from modelserver.testing import InMemoryServer
from tests.runtimes.estimators import IRIS

ARTIFACTS = Path(__file__).parent.parent / "golden/artifacts"
ROOT = Path(__file__).parent.parent.parent


def stored(name: str, end: int | None = None) -> bytes:
    return (ARTIFACTS / name).read_bytes()[:end]


def estimator(old: bytes = b"", new: bytes = b"") -> bytes:
    """A pickled estimator of this very version, with some of its bytes replaced by as many."""
    assert len(old) == len(new)
    content = pickle.dumps(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target))
    assert old in content
    return content.replace(old, new)


def older() -> bytes:
    """An estimator of a module that is gone, as scikit-learn 0.2.1 would have saved it (protocol 0 has no lengths)."""
    content = pickle.dumps(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), protocol=0)
    return content.replace(b"_logistic", b"_logostic").replace(sklearn.__version__.encode(), b"0.2.1")


def compressed() -> bytes:
    buffer = io.BytesIO()
    joblib.dump(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), buffer, compress=("zlib", 3))
    return buffer.getvalue()


def archive(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return buffer.getvalue()


def booster(**changes: object) -> bytes:
    value = json.loads(stored("xgboost-3.2.0.json"))
    value.update(changes)
    return json.dumps(value).encode()


#: What it is -> the file's name, what is in it, and what the reason begins with or has in it.
BROKEN: dict[str, tuple[str, Callable[[], bytes], str]] = {
    # scikit-learn
    "nothing": ("m.joblib", lambda: b"", "m.joblib: it is empty"),
    "half a joblib": ("m.joblib", lambda: stored("sklearn-1.4.2-pipeline.joblib", 700), "m.joblib: cut short"),
    "half a pickle": ("m.pkl", lambda: estimator()[:300], "m.pkl: the pickle is cut short"),
    "a pickle without its last byte": ("m.pkl", lambda: estimator()[:-1], "m.pkl: the pickle is cut short"),
    "half a compressed joblib": ("m.joblib", lambda: compressed()[:400], "m.joblib: the pickle is cut short"),
    "text": ("m.pickle", lambda: b"hello, I am no model", "m.pickle: not a pickle"),
    "a page of HTML": ("m.joblib", lambda: b"<!DOCTYPE html><p>404", "m.joblib: it is a page of HTML"),
    "a pointer of git-lfs": ("m.joblib", lambda: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "zeros": ("m.pkl", lambda: bytes(1000), "m.pkl: not a pickle"),
    "a dictionary": ("m.pkl", lambda: pickle.dumps({"coef": 1}), "m.pkl: it holds a dict and not a model"),
    "an array": ("m.joblib", lambda: pickle.dumps(np.arange(4)), "m.joblib: it holds an array and not"),
    "an estimator that was never fitted": ("m.pkl", lambda: pickle.dumps(LogisticRegression()), "not fitted"),
    "a class that moved": ("m.pkl", lambda: estimator(b"_logistic", b"_logostic"), "ModuleNotFoundError: No module"),
    "a package that is not here": (
        "m.pkl",
        lambda: pickle.dumps(LogisticRegression()).replace(b"sklearn.linear_model", b"no_such.linear_model"),
        "m.pkl: it needs the package no_such, which is not installed",
    ),
    "a class of the program that saved it": ("m.pkl", lambda: b"\x80\x04c__main__\nMine\n)\x81.", "Mine"),
    "an older scikit-learn's, that this one cannot load": (
        "m.pkl",
        older,
        "saved with scikit-learn 0.2.1, installed is ",
    ),
    "PyTorch's weights": ("m.pkl", lambda: stored("state-dict.pth"), "m.pkl: torch.save (zip) of torch, not for the"),
    "an XGBoost model": ("m.joblib", lambda: stored("xgboost-3.2.0.ubj"), "the runtime xgboost loads it"),
    "skops cut short": (
        "m.skops",
        lambda: stored("sklearn-1.4.2-named.skops", 5000),
        "m.skops: a zip archive that is cut short",
    ),
    "skops without a schema": ("m.skops", lambda: archive(other_json="{}"), "m.skops: a zip archive without a model"),
    # XGBoost
    "an empty booster": ("m.ubj", lambda: b"", "m.ubj: it is empty"),
    "half a booster": ("m.ubj", lambda: stored("xgboost-3.2.0.ubj", 1500), "m.ubj: the UBJSON is broken or cut short"),
    "half a booster in JSON": (
        "m.json",
        lambda: stored("xgboost-3.2.0.json", 1500),
        "m.json: the JSON is broken or cut short",
    ),
    "some other JSON": ("m.json", lambda: b'{"hello": [1, 2]}', "m.json: it has no learner"),
    "a booster without its trees": ("m.json", lambda: booster(learner={}), "m.json: it has no learner_model_param"),
    "a booster of the old binary form": (
        "m.bst",
        lambda: b"binf" + bytes(100),
        "m.bst: XGBoost's binary format, which XGBoost 3.1 dropped",
    ),
    "an estimator called a booster": ("m.bst", estimator, "m.bst: expected JSON or UBJSON"),
    # PyTorch
    "an empty program": ("m.pt2", lambda: b"", "m.pt2: it is empty"),
    "half an exported program": ("m.pt2", lambda: stored("torch-2.14.1.pt2", 3000), "m.pt2 is truncated or damaged"),
    "half a TorchScript": ("m.pt", lambda: stored("torchscript.pt", 1500), "m.pt is truncated or damaged"),
    "weights without a class": ("m.pth", lambda: stored("state-dict.pth"), "m.pth holds weights alone"),
    "weights cut short": ("m.safetensors", lambda: stored("weights.safetensors", 200), "m.safetensors: "),
    "an archive without a manifest": ("m.mar", lambda: archive(model_json="{}"), "m.mar has no MAR-INF/MANIFEST.json"),
    "an archive that lacks its model": (
        "m.mar",
        lambda: archive(**{"MAR-INF__MANIFEST_json": '{"model": {"modelName": "m", "serializedFile": "x.pt"}}'}),
        "m.mar: MAR-INF/MANIFEST.json: model.handler",
    ),
    "an estimator called a program": ("m.pt", estimator, "m.pt holds more than weights"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_it_has_its_reason_in_one_line(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name, content, expected = BROKEN[what]
    (tmp_path / name).write_bytes(content())
    caplog.set_level(logging.INFO)

    async with InMemoryServer(tmp_path) as server:
        dataplane = server.composition.dataplane
        reason = dataplane.why_model_not_ready("model")
        assert not dataplane.ready()
        assert not dataplane.model_ready("model")
        with pytest.raises(ModelNotReady):
            await dataplane.load("model")
        answer = await server.request("GET", "/v2/models/model/ready")
        live = await server.request("GET", "/v2/health/live")

    assert expected in reason
    assert reason
    assert "\n" not in reason
    assert str(tmp_path) not in reason
    assert (answer.status, live.status) == (503, 200)
    assert [record for record in caplog.records if record.exc_info] == []
    assert any(reason in message for message in caplog.messages)


@pytest.mark.parametrize("exits", [True, False])
def test_the_process_exits_or_stays_as_the_settings_say(exits: bool, tmp_path: Path) -> None:
    (tmp_path / "m.joblib").write_bytes(b"hello")
    command = [sys.executable, "-m", "modelserver", "serve", str(tmp_path), "--http-port=0", "--grpc-port=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MODELSERVER_EXIT_ON_LOAD_FAILURE": str(exits)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        lines = []
        for line in server.stdout:
            lines.append(line)
            if not exits and "not ready: model" in line:
                assert server.poll() is None
                server.terminate()
    assert server.returncode == (1 if exits else 0)
    text = "".join(lines)
    assert "m.joblib: not a pickle" in text
    assert "Traceback" not in text
    assert str(tmp_path) not in text
