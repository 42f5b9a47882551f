"""Which differences of versions are told, and in what words."""

from __future__ import annotations

import pytest

from modelserver.inspection.skew import Skew, installed_version, skews


@pytest.mark.parametrize(
    ("distribution", "saved", "installed", "told"),
    [
        ("scikit-learn", "1.4.2", "1.4.0", False),
        ("scikit-learn", "1.4.2", "1.9.1", True),
        ("scikit-learn", "1.9.1", "1.4.2", True),
        ("scikit-learn", "1.9.0rc1", "1.9.1", False),
        ("xgboost", "2.1.0", "2.0.3", False),
        ("xgboost", "1.7.6", "3.2.0", True),
        ("torch", "2.5.1", "2.14.1+cpu", False),
        ("torch", "2.14.1", "2.5.1+cpu", True),
        ("numpy", "1", "2.4.6", False),
        ("numpy", "2", "1.26.4", True),
        ("scikit-learn", "1.4.2", "", True),
    ],
)
def test_what_is_told(distribution: str, saved: str, installed: str, told: bool) -> None:
    found = skews({distribution: saved}, lambda _: installed)
    assert found == ([Skew(distribution, saved, installed)] if told else [])


@pytest.mark.parametrize(
    ("skew", "difference", "way_out"),
    [
        (
            Skew("scikit-learn", "1.4.2", "1.9.1"),
            "saved with scikit-learn 1.4.2, installed is 1.9.1:",
            "pip install scikit-learn==1.4.2, or the image modelserver-sklearn with scikit-learn 1.4",
        ),
        (
            Skew("torch", "2.14.1", ""),
            "saved with torch 2.14.1, which is not installed:",
            "pip install torch==2.14.1, or the image modelserver-pytorch with torch 2.14",
        ),
        (Skew("numpy", "2", "1.26.4"), "saved with numpy 2, installed is 1.26.4:", 'pip install "numpy>=2,<3"'),
    ],
)
def test_the_line(skew: Skew, difference: str, way_out: str) -> None:
    assert str(skew) == f"{difference} {way_out}"


def test_what_is_installed_here() -> None:
    assert installed_version("numpy")
    assert installed_version("no-such-distribution") == ""
