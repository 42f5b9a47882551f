"""What a path holds: files, directories with one model, repositories; and what is refused."""

from pathlib import Path

import pytest

from modelserver.artifact import Artifact, ArtifactError, Broken, ModelDirectory, Repository, find, runtime_of

PATTERNS = {"sklearn": ("*.joblib", "*.pkl"), "xgboost": ("*.ubj", "*.json"), "lightgbm": ("*.json", "*.bst")}


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not read")


def repository(path: Path) -> Repository:
    found = find(path, PATTERNS)
    assert isinstance(found, Repository)
    return found


def test_a_file_is_a_model_of_the_runtime_whose_pattern_it_matches(tmp_path: Path) -> None:
    put(tmp_path / "iris.joblib")
    assert find(tmp_path / "iris.joblib", PATTERNS) == Artifact(tmp_path / "iris.joblib", "sklearn")


def test_a_directory_with_one_model_file_is_that_model(tmp_path: Path) -> None:
    put(tmp_path / "model.ubj", tmp_path / "README.md", tmp_path / "1" / "other.joblib")
    assert find(tmp_path, PATTERNS) == Artifact(tmp_path / "model.ubj", "xgboost")


def test_several_model_files_are_an_error_that_lists_them(tmp_path: Path) -> None:
    put(tmp_path / "b.pkl", tmp_path / "a.joblib")
    with pytest.raises(ArtifactError) as failure:
        find(tmp_path, PATTERNS)
    assert str(failure.value) == "expected exactly one model file, got a.joblib, b.pkl"


def test_json_beside_a_model_of_another_form_is_no_model(tmp_path: Path) -> None:
    put(tmp_path / "model.joblib", tmp_path / "notes.json", tmp_path / "features.json")
    assert find(tmp_path, PATTERNS) == Artifact(tmp_path / "model.joblib", "sklearn")


def test_two_files_of_json_are_two_models(tmp_path: Path) -> None:
    put(tmp_path / "a.json", tmp_path / "b.json")
    with pytest.raises(ArtifactError, match=r"got a\.json, b\.json"):
        find(tmp_path, PATTERNS)


def test_an_ambiguous_pattern_belongs_to_the_first_runtime_that_has_it() -> None:
    assert runtime_of("model.json", PATTERNS) == "xgboost"
    assert runtime_of("model.json", {"lightgbm": ["*.json"], **PATTERNS}) == "lightgbm"


@pytest.mark.parametrize("name", ["model-settings.json", ".hidden.joblib", "model.onnx", "joblib"])
def test_files_that_are_no_models(name: str) -> None:
    assert runtime_of(name, PATTERNS) is None


def test_settings_beside_a_model_are_not_a_second_model(tmp_path: Path) -> None:
    put(tmp_path / "model.ubj")
    (tmp_path / "model-settings.json").write_text("{}")
    assert find(tmp_path, PATTERNS) == Artifact(tmp_path / "model.ubj", "xgboost")


def test_a_directory_called_like_a_model_is_not_a_model_file(tmp_path: Path) -> None:
    put(tmp_path / "iris.joblib" / "model.joblib")
    assert repository(tmp_path).names() == ["iris.joblib"]


def test_a_file_that_no_runtime_reads_is_an_error_that_names_the_patterns(tmp_path: Path) -> None:
    put(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError) as failure:
        find(tmp_path / "model.onnx", {"sklearn": ("*.joblib", "*.pkl")})
    assert str(failure.value) == "model.onnx: no installed runtime reads it; expected *.joblib, *.pkl (sklearn)"


def test_without_runtimes_the_error_says_what_to_install(tmp_path: Path) -> None:
    put(tmp_path / "model.joblib")
    with pytest.raises(ArtifactError, match=r"pip install"):
        find(tmp_path / "model.joblib", {})


def test_nothing_there_is_an_error_without_the_directory(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as failure:
        find(tmp_path / "absent", PATTERNS)
    assert str(failure.value) == "absent: no such file or directory"


def test_an_empty_directory_is_a_repository_without_models(tmp_path: Path) -> None:
    assert repository(tmp_path).names() == []


def test_children_are_models_and_their_numeric_children_versions_in_numerical_order(tmp_path: Path) -> None:
    put(tmp_path / "iris" / "10" / "m.joblib", tmp_path / "iris" / "9" / "m.joblib", tmp_path / "iris" / "x" / "m.pkl")
    put(tmp_path / "wine" / "model.ubj")
    found = repository(tmp_path)
    assert found.names() == ["iris", "wine"]
    iris = found.model("iris")
    assert iris == ModelDirectory(
        "iris",
        {
            "9": Artifact(tmp_path / "iris" / "9" / "m.joblib", "sklearn"),
            "10": Artifact(tmp_path / "iris" / "10" / "m.joblib", "sklearn"),
        },
    )
    assert iris is not None
    assert list(iris.versions) == ["9", "10"]
    assert found.model("wine") == ModelDirectory("wine", {"1": Artifact(tmp_path / "wine" / "model.ubj", "xgboost")})


def test_a_broken_child_is_its_own_failure(tmp_path: Path) -> None:
    put(tmp_path / "good" / "m.joblib", tmp_path / "two" / "a.pkl", tmp_path / "two" / "b.pkl")
    (tmp_path / "empty").mkdir()
    found = repository(tmp_path)
    assert found.names() == ["empty", "good", "two"]
    assert found.model("two") == ModelDirectory(
        "two", {"1": Broken("expected exactly one model file, got a.pkl, b.pkl")}
    )
    assert found.model("empty") == ModelDirectory(
        "empty",
        {
            "1": Broken(
                "no model file: expected *.joblib, *.pkl (sklearn) or *.ubj, *.json (xgboost) or *.json, *.bst"
                " (lightgbm), or numeric version directories"
            )
        },
    )
    assert found.model("good") == ModelDirectory("good", {"1": Artifact(tmp_path / "good" / "m.joblib", "sklearn")})


def test_a_broken_version_is_its_own_failure(tmp_path: Path) -> None:
    put(tmp_path / "iris" / "1" / "m.joblib")
    (tmp_path / "iris" / "2").mkdir()
    iris = repository(tmp_path).model("iris")
    assert iris is not None
    assert iris.versions["1"] == Artifact(tmp_path / "iris" / "1" / "m.joblib", "sklearn")
    assert isinstance(iris.versions["2"], Broken)


def test_a_child_that_comes_later_is_found(tmp_path: Path) -> None:
    found = repository(tmp_path)
    assert found.model("late") is None
    put(tmp_path / "late" / "m.pkl")
    assert found.names() == ["late"]
    assert found.model("late") is not None


def test_a_repository_that_went_away_has_no_models(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    found = repository(tmp_path / "models")
    (tmp_path / "models").rmdir()
    assert found.names() == []
    assert found.model("iris") is None


NO_NAMES = [
    "",
    ".",
    "..",
    "../outside",
    "inside/1",
    "/outside",
    "in\0side",
    ".git",
    "inside\\1",
    "lost+found",
    "n" * 300,
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_no_child_of_the_repository_are_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path / "outside" / "m.pkl", tmp_path / "models" / "inside" / "1" / "m.pkl")
    put(tmp_path / "models" / ".git" / "m.pkl", tmp_path / "models" / "lost+found" / "m.pkl")
    found = repository(tmp_path / "models")
    assert found.model(name) is None
    assert found.names() == ["inside"]


@pytest.mark.parametrize("link", ["iris", "iris/1", "iris/m.pkl", "iris/2/m.pkl"])
def test_links_that_leave_the_repository_are_refused(tmp_path: Path, link: str) -> None:
    put(tmp_path / "outside" / "m.pkl")
    target = tmp_path / "outside" / "m.pkl" if link.endswith(".pkl") else tmp_path / "outside"
    at = tmp_path / "models" / link
    at.parent.mkdir(parents=True)
    at.symlink_to(target)
    iris = repository(tmp_path / "models").model("iris")
    assert iris is not None
    assert list(iris.versions.values()) == [Broken(f"{at.name}: a link that leaves the repository")]


def test_links_inside_the_repository_are_followed(tmp_path: Path) -> None:
    # A ConfigMap's volume looks like this.
    put(tmp_path / "..2026_01_01" / "iris" / "m.pkl")
    (tmp_path / "iris").symlink_to(tmp_path / "..2026_01_01" / "iris")
    found = repository(tmp_path)
    assert found.names() == ["iris"]
    assert found.model("iris") == ModelDirectory("iris", {"1": Artifact(tmp_path / "iris" / "m.pkl", "sklearn")})


def test_a_child_that_cannot_be_read_says_so_without_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "iris" / "m.pkl")
    found = repository(tmp_path)

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)  # the tests may run as root, who may read everything
    assert found.model("iris") == ModelDirectory("iris", {"1": Broken("Permission denied")})
    with pytest.raises(ArtifactError, match=r"^iris: Permission denied$"):
        find(tmp_path / "iris", PATTERNS)
