"""What is read from the bytes of real artifacts, of versions that are not installed; and that nothing in them runs."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from modelserver_sklearn import SklearnModel
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelserver import TensorMetadata, inspection
from modelserver.inspection import Findings, inspect, saved_with, sha256_of
from tests.runtimes.estimators import IRIS

ARTIFACTS = Path(__file__).parent.parent / "golden/artifacts"
FOUR = [TensorMetadata("input-0", "FP64", [-1, 4])]
NAMED = [TensorMetadata(name, "FP64", [-1]) for name in ("sl", "sw", "pl", "pw")]
FEATURES = [TensorMetadata(name, "FP32", [-1]) for name in ("a", "b", "c", "d")]
LABELS = [TensorMetadata("output-0", "INT64", [-1])]
#: The largest length, little-endian.
HUGE = b"\xff" * 7 + b"\x7f"
LFS = "it is a pointer of git-lfs and not the file itself: git lfs pull"
OLD = {"scikit-learn": "1.4.2", "numpy": "1"}

#: File -> format, framework, model, saved with, inputs, outputs.
EXPECTED: dict[str, tuple[str, str, str, dict[str, str], list[TensorMetadata], list[TensorMetadata]]] = {
    "sklearn-1.4.2-pipeline.joblib": (
        "joblib, pickle protocol 4",
        "scikit-learn",
        "sklearn.pipeline.Pipeline",
        OLD,
        FOUR,
        LABELS,
    ),
    "sklearn-1.4.2-forest.joblib": (
        "joblib (zlib), pickle protocol 4",
        "scikit-learn",
        "sklearn.ensemble._forest.RandomForestClassifier",
        OLD,
        FOUR,
        LABELS,
    ),
    "sklearn-1.4.2-named.pkl": (
        "pickle protocol 2",
        "scikit-learn",
        "sklearn.svm._classes.SVC",
        OLD,
        NAMED,
        [TensorMetadata("output-0", "BYTES", [-1])],
    ),
    "sklearn-1.4.2-search.pickle": (
        "pickle protocol 5",
        "scikit-learn",
        "sklearn.model_selection._search.GridSearchCV",
        OLD,
        FOUR,
        LABELS,
    ),
    "sklearn-1.4.2-text.joblib": (
        "joblib (xz), pickle protocol 4",
        "scikit-learn",
        "sklearn.pipeline.Pipeline",
        {"scikit-learn": "1.4.2"},
        [TensorMetadata("input-0", "BYTES", [-1])],
        LABELS,
    ),
    "sklearn-1.4.2-named.skops": (
        "skops 0.16.0",
        "scikit-learn",
        "sklearn.linear_model._logistic.LogisticRegression",
        {"scikit-learn": "1.4.2"},
        NAMED,
        LABELS,
    ),
    "xgboost-3.2.0.ubj": ("XGBoost UBJSON", "xgboost", "xgboost.Booster", {"xgboost": "3.2.0"}, FEATURES, []),
    "xgboost-3.2.0.json": ("XGBoost JSON", "xgboost", "xgboost.Booster", {"xgboost": "3.2.0"}, FEATURES, []),
    "xgboost-3.2.0.pkl": ("pickle protocol 4", "xgboost", "xgboost.core.Booster", {"xgboost": "3.2.0"}, FEATURES, []),
    "torch-2.14.1.pt2": (
        "torch.export (.pt2), archive version 0",
        "torch",
        "exported program",
        {"torch": "2.14.1"},
        [TensorMetadata("x", "FP32", [-1, 4]), TensorMetadata("scale", "FP32", [-1, 1])],
        [TensorMetadata("softmax", "FP32", [-1, 3])],
    ),
    "torchscript.pt": (
        "TorchScript",
        "torch",
        "Net",
        {},
        [TensorMetadata("x", "", ()), TensorMetadata("scale", "", ())],
        [],
    ),
    "state-dict.pth": ("torch.save (zip)", "torch", "state dict", {}, [], []),
    "state-dict-legacy.pt": ("torch.save (before torch 1.6)", "torch", "state dict", {}, [], []),
    "module.pth": ("torch.save (zip)", "torch", "torch.nn.modules.container.Sequential", {}, [], []),
    "weights.safetensors": ("safetensors", "torch", "weights", {}, [], []),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_artifacts(name: str) -> None:
    found = inspect(ARTIFACTS / name)

    assert EXPECTED[name] == (
        found.format,
        found.framework,
        found.model,
        dict(found.saved_with),
        list(found.inputs),
        list(found.outputs),
    )
    assert found.damage == ""


def test_every_stored_artifact_is_expected() -> None:
    assert {path.name for path in ARTIFACTS.iterdir() if path.suffix != ".py"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_quick_look_agrees(name: str) -> None:
    quick, full = saved_with(ARTIFACTS / name), inspect(ARTIFACTS / name).saved_with

    assert {**full, **quick} == full
    assert set(full) - set(quick) <= {"numpy"}  # it may stop before numpy is mentioned


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_quick_look_does_not_read_a_large_array(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "QUICK", 100_000)
    model = KNeighborsClassifier(algorithm="brute").fit(np.zeros((10_000, 4)), np.zeros(10_000, int))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model, protocol=protocol))
    joblib.dump(model, tmp_path / "m.joblib")
    joblib.dump(model, tmp_path / "small.joblib", compress=3)
    version = sklearn.__version__

    assert saved_with(tmp_path / "m.pkl") == {"scikit-learn": version, "numpy": "2"}
    assert saved_with(tmp_path / "m.joblib")["scikit-learn"] == version
    assert "scikit-learn" not in saved_with(tmp_path / "small.joblib")  # its end cannot be looked at


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_compressed_as_joblib_does(tmp_path: Path, compress: object) -> None:
    joblib.dump(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), tmp_path / "m.joblib", compress=compress)

    found = inspect(tmp_path / "m.joblib")

    assert (found.damage, found.inputs, found.outputs) == ("", FOUR, LABELS)
    assert found.saved_with["scikit-learn"] == sklearn.__version__


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestRegressor(2),
        GradientBoostingClassifier(n_estimators=2),
    ],
    ids=["pipeline", "forest", "boosting"],
)
def test_every_protocol_of_pickle(tmp_path: Path, estimator: object, protocol: int) -> None:
    model = estimator.fit(IRIS.data, IRIS.target)  # type: ignore[attr-defined]
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model, protocol=protocol))

    found = inspect(tmp_path / "m.pkl")

    assert (found.damage, found.framework, list(found.inputs)) == ("", "scikit-learn", FOUR)
    assert found.saved_with["scikit-learn"] == sklearn.__version__


@pytest.mark.parametrize(
    "name", ["sklearn-1.4.2-pipeline.joblib", "sklearn-1.4.2-named.pkl", "sklearn-1.4.2-text.joblib"]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_inputs_are_those_that_the_runtime_declares(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((ARTIFACTS / name).read_bytes())
    model = SklearnModel("m")
    model.path = tmp_path / name
    try:
        model.load()
    except (ValueError, AttributeError, TypeError, ImportError) as exc:
        pytest.skip(f"this version of scikit-learn does not load it any more: {exc}")

    assert list(inspect(tmp_path / name).inputs) == list(model.inputs)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=protocol))

    found = inspect(tmp_path / "m.pkl")

    assert "pathlib" in found.imports
    assert not (tmp_path / "sprung").exists()
    pickle.loads((tmp_path / "m.pkl").read_bytes())
    assert (tmp_path / "sprung").exists()  # the trap is one


def test_objects_of_the_program_that_saved_them(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04c__main__\nModel\n)\x81.")
    assert inspect(tmp_path / "m.pkl").notes == ["it needs classes of the program that saved it (__main__)"]


def test_a_torchserve_archive_and_the_model_inside(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as archive:
        archive.writestr(
            "MAR-INF/MANIFEST.json",
            '{"runtime": "python", "archiverVersion": "0.12.0", "model": {"modelName": "mnist", "modelVersion": "1.0",'
            ' "handler": "image_classifier", "serializedFile": "net.pt2"}}',
        )
        archive.write(ARTIFACTS / "torch-2.14.1.pt2", "net.pt2")

    found = inspect(tmp_path / "m.mar")

    assert (found.format, found.model, found.saved_with) == ("TorchServe archive (.mar)", "mnist", {"torch": "2.14.1"})
    assert found.details["handler"] == "image_classifier"
    assert [metadata.name for metadata in found.inputs] == ["x", "scale"]


def test_the_digest(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"abc")
    assert sha256_of(tmp_path / "m") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# Damage: always a line, never an exception.

# A compressed stream may lack its checksum alone, and PyTorch's old form has the weights behind the last pickle.
UNSEEN = ("sklearn-1.4.2-forest.joblib", "sklearn-1.4.2-text.joblib", "state-dict-legacy.pt")


@pytest.mark.parametrize("name", EXPECTED)
def test_cut_short_anywhere(name: str, tmp_path: Path) -> None:
    whole = (ARTIFACTS / name).read_bytes()
    path = tmp_path / name
    for length in range(0, len(whole), max(1, len(whole) // 120)):
        path.write_bytes(whole[:length])
        found = inspect(path)
        assert isinstance(found, Findings)
        assert "\n" not in found.damage
        if name not in UNSEEN:
            assert found.damage, length


@pytest.mark.parametrize("name", EXPECTED)
def test_bytes_that_were_changed(name: str, tmp_path: Path) -> None:
    whole = (ARTIFACTS / name).read_bytes()
    random = np.random.default_rng(len(name))
    path = tmp_path / name
    for _ in range(150):
        changed = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            changed[position] = random.integers(0, 256)
        path.write_bytes(changed)
        assert "\n" not in inspect(path).damage
        saved_with(path)


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (b"", "it is empty"),
        (b"hello world, I am no model", "its format is not known"),
        (
            b"binf\0\0\0\0",
            "XGBoost 3.1 and later do not read it: load it in XGBoost 3.0 or before, and save it as .ubj",
        ),
        (b"tree\nversion=v4\n", "LightGBM text is no format that an official runtime reads"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 is no format that an official runtime reads"),
        (b'{"a": 1}', "JSON, and not an XGBoost model: it has no learner"),
        (b'{"learner": {', "JSON that makes no sense at byte 13, of 13"),
        (b"PK\x05\x06" + bytes(18), "a zip archive without a model: it has no files"),
        (pickle.dumps({"a": 1}), "it holds a dict and not a model"),
        (pickle.dumps(np.arange(3)), "it holds an array and not a model"),
        (b"\x80\x04]" * 9, "the pickle is cut short after 18 opcodes"),
        (
            b"\x80\x04\x8e" + HUGE,
            "not a pickle, or damaged after 1 opcodes",
        ),
        (b"hello", "its format is not known"),
        (b"<!DOCTYPE html>", "it is a page of HTML, as a failed download leaves it"),
        (b"version https://git-lfs.github.com/spec/v1", LFS),
        (b"\x78\x9c\0\0", "the pickle is cut short after 0 opcodes"),
        (b"[$Z#L" + HUGE[::-1], "its format is not known"),
        (b"{L" + HUGE[::-1], "cut short: ends at byte 10, in the middle of a value"),
        (b"{i\x01a[$Z#L" + HUGE[::-1], "UBJSON that says 9223372036854775807 values, and has 17 bytes"),
        (b"\xff" * 7 + b"\x01" + b"{", "its format is not known"),
    ],
)
def test_what_is_wrong_in_one_line(content: bytes, damage: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(content)
    assert inspect(tmp_path / "m").damage == damage


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".")
    (tmp_path / "m.ubj").write_bytes(b"{i\x01a" + b"[" * 100_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", '{"content":' * 20_000 + "1" + "}" * 20_000)
    (tmp_path / "m.skops").write_bytes(buffer.getvalue())

    assert inspect(tmp_path / "m.pkl").damage == "it holds a list and not a model"
    assert inspect(tmp_path / "m.ubj").damage == "UBJSON nested deeper than 64"
    assert inspect(tmp_path / "m.skops").damage == "a zip archive with a description that is nested too deeply"
