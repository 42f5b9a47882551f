"""The public names, and that naming them costs nothing."""

import subprocess
import sys

import pytest

import modelserver

# Nothing of this may come with `import modelserver`: it is to cost as good as nothing.
HEAVY = ("numpy", "fastapi", "grpc", "google.protobuf", "uvicorn", "orjson", "pandas", "prometheus_client", "asyncio")


def test_the_public_names_are_sorted() -> None:
    assert sorted(set(modelserver.__all__)) == modelserver.__all__


@pytest.mark.parametrize("name", modelserver.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(modelserver, name).__name__ == name


def test_dir_has_the_public_names() -> None:
    assert set(modelserver.__all__) <= set(dir(modelserver))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Modell'"):
        _ = modelserver.Modell  # type: ignore[attr-defined]


def test_importing_does_nothing() -> None:
    code = f"""
import sys
argv = list(sys.argv)
import modelserver
assert sys.argv == argv, sys.argv
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    # KServe's import would end the process for this flag.
    command = [sys.executable, "-c", code, "--http_port", "abc"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_model_needs_no_server() -> None:
    code = """
import sys
from modelserver import Model, InferRequest, Tensor
print([name for name in ("fastapi", "grpc", "uvicorn", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
