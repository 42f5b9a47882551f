"""Files that are no good model: one line says why, and the process lives, whatever XGBoost would do with them."""

import json
import logging
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelserver_xgboost import XGBoostModel

from modelserver import InvalidInput, Tensor
from modelserver.testing import InMemoryServer
from tests.runtimes.boosters import OBJECTIVES, over_columns, request, trained

UBJ = bytes(trained().save_raw("ubj"))
JSON = bytes(trained().save_raw("json"))


def changed(change: Callable[[Any], object]) -> bytes:
    """A model file whose learner was tampered with."""
    document = json.loads(bytes(over_columns().save_raw("json")))
    change(document["learner"])
    return json.dumps(document, separators=(",", ":")).encode()


def tree(learner: Any) -> Any:
    return learner["gradient_booster"]["model"]["trees"][1]


def model_of(learner: Any) -> Any:
    return learner["gradient_booster"]["model"]


BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("model.ubj", b"", "the file is empty"),
    "empty JSON": ("model.json", b"", "the file is empty"),
    "a brace": ("model.ubj", b"{", "the UBJSON is broken or cut short: 1 bytes expected, 0 are left at byte 1"),
    "cut short early": ("model.ubj", UBJ[:50], "the UBJSON is broken or cut short"),
    "cut short in the middle": ("model.ubj", UBJ[: len(UBJ) // 2], "the UBJSON is broken or cut short"),
    "cut short at the end": ("model.bst", UBJ[:-1], "the UBJSON is broken or cut short"),
    "JSON cut short": ("model.json", JSON[: len(JSON) // 2], "the JSON is broken or cut short"),
    "JSON too deep": ("model.json", b'{"learner":' + b"[" * 100_000, "JSON that nests too deep"),
    "UBJSON too deep": ("model.ubj", b"{i\x01a" + b"[" * 1000, "it nests too deep"),
    "an array longer than the file": ("model.ubj", b"{i\x01a[#L" + b"\x7f" * 8, "is longer than the file"),
    "not UTF-8": ("model.json", b'{"learner": "\xff\xfe"}', "the JSON is broken or cut short"),
    "XGBoost's binary format": ("model.bst", b"binf\x00\x00\x00\x3f" * 9, "binary format, which XGBoost 3.1 dropped"),
    "LightGBM": ("model.bst", b"tree\nversion=v4\nnum_class=1\n", "expected JSON or UBJSON"),
    "a pickle": ("model.ubj", pickle.dumps({"a": 1}), "expected JSON or UBJSON"),
    "a zip": ("model.ubj", b"PK\x03\x04" + bytes(100), "expected JSON or UBJSON"),
    "zeros": ("model.ubj", bytes(1000), "expected JSON or UBJSON"),
    "a list": ("model.json", b"[1, 2]", "expected JSON or UBJSON"),
    "somebody else's JSON": ("model.json", b'{"name": "x"}', "it has no learner, so it is no XGBoost model"),
    "an empty learner": ("model.json", b'{"learner": {}}', "it has no learner_model_param"),
    "a learner of something else": ("model.json", b'{"learner": {"learner_model_param": 1}}', "not laid out as an"),
    "no trees": ("model.json", changed(lambda it: model_of(it).pop("trees")), "it has no trees"),
    "a tree too few": ("model.json", changed(lambda it: model_of(it)["trees"].pop()), "3 trees, expected 4"),
    "another class": ("model.json", changed(lambda it: model_of(it).update(tree_info=[0, 0, 0, 7])), "tree_info does"),
    "rounds": ("model.json", changed(lambda it: model_of(it).update(iteration_indptr=[0, 9])), "iteration_indptr does"),
    "no features": (
        "model.json",
        changed(lambda it: it["learner_model_param"].update(num_feature="-3")),
        "-3 features",
    ),
    "fewer names": ("model.json", changed(lambda it: it["feature_names"].pop()), "4 names and 5 types for 5 features"),
    "a name twice": (
        "model.json",
        changed(lambda it: it.update(feature_names=["a"] * 5)),
        "two features have the same name",
    ),
    "a booster of nobody": ("model.json", changed(lambda it: it["gradient_booster"].update(name="x")), "no booster is"),
    "an objective of nobody": (
        "model.json",
        changed(lambda it: it["objective"].update(name="my:own")),
        "Unknown objective function: `my:own`",
    ),
    "a child beyond": ("model.json", changed(lambda it: tree(it)["left_children"].__setitem__(0, 1000)), "tree 1: its"),
    "a circle": ("model.json", changed(lambda it: tree(it)["left_children"].__setitem__(1, 1)), "do not form a tree"),
    "a stranger above": (
        "model.json",
        changed(lambda it: tree(it)["parents"].__setitem__(1, 77)),
        "do not form a tree",
    ),
    "a feature beyond": ("model.json", changed(lambda it: tree(it)["split_indices"].__setitem__(0, 5)), "beyond its 5"),
    "fewer nodes": ("model.json", changed(lambda it: tree(it)["default_left"].pop()), "its arrays do not have its"),
    "a list of texts": ("model.json", changed(lambda it: tree(it).update(parents=["a"] * 29)), "tree 1: "),
    "no sums": ("model.json", changed(lambda it: tree(it).pop("sum_hessian")), "tree 1 has no sum_hessian"),
    "categories beyond": (
        "model.json",
        changed(lambda it: model_of(it)["trees"][0]["categories_sizes"].__setitem__(0, 999)),
        "tree 0: its categories do not fit its nodes",
    ),
}


@pytest.mark.parametrize(("name", "content", "reason"), BAD.values(), ids=BAD)
async def test_a_bad_file_is_not_ready_and_says_why_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    model = XGBoostModel("m")
    model.path = tmp_path / name
    with caplog.at_level(logging.INFO):
        async with InMemoryServer([model]) as server:
            [entry] = server.composition.dataplane.index()
            live = await server.request("GET", "/v2/health/live")
    assert entry.state == "UNAVAILABLE"
    assert f"{name}: " in entry.reason
    assert reason in entry.reason
    assert "\n" not in entry.reason
    assert str(tmp_path) not in entry.reason
    assert live.status == 200
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("objective", ["multi:softprob", "two targets in one tree", "dart", "gblinear", "columns"])
@pytest.mark.parametrize("form", ["ubj", "json"])
def test_flipped_bits_kill_nobody(tmp_path: Path, objective: str, form: str) -> None:
    """XGBoost follows broken indices out of bounds; a crash here would end the test run."""
    booster = over_columns() if objective == "columns" else OBJECTIVES[objective][0]()
    good = bytes(booster.save_raw(form))
    chance = random.Random(5)
    model = XGBoostModel("m")
    model.path = tmp_path / f"model.{form}"
    refused = 0
    for _ in range(60):
        flipped = bytearray(good)
        flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        model.path.write_bytes(flipped)
        try:
            model.load()
            model.predict(request(Tensor("x", np.zeros((2, booster.num_features()), np.float32))))
        except (ValueError, InvalidInput):
            refused += 1
    assert refused


def test_a_file_by_a_newer_version_that_cannot_be_read_names_both_versions(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b'{"learner":{},"version":[99,1,0]}')
    model = XGBoostModel("m")
    model.path = tmp_path / "model.json"
    with pytest.raises(ValueError, match=r"no learner_model_param; saved by XGBoost 99\.1\.0, installed is \d"):
        model.load()


def test_leaves_with_vectors_in_another_versions_form_are_refused(tmp_path: Path) -> None:
    """XGBoost 3.2 dies of the older form, and older ones answer wrongly from 3.2's."""
    document = json.loads(bytes(OBJECTIVES["two targets in one tree"][0]().save_raw("json")))
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        if "leaf_weights" in tree:
            del tree["leaf_weights"]
        else:
            tree["leaf_weights"] = []
    (tmp_path / "model.json").write_text(json.dumps(document, separators=(",", ":")))
    model = XGBoostModel("m")
    model.path = tmp_path / "model.json"
    with pytest.raises(ValueError, match=r"tree 0: leaves with vectors in the form (before|since) XGBoost 3\.2"):
        model.load()


def test_no_file_is_not_ready(tmp_path: Path) -> None:
    model = XGBoostModel("m")
    model.path = tmp_path
    with pytest.raises(FileNotFoundError, match=r"no file matches \*\.ubj, \*\.json, \*\.bst"):
        model.load()
