"""Versions that a model was saved with against those that are installed, and what to do where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

#: The same package under several distribution names.
_NAMES = {"xgboost": ("xgboost", "xgboost-cpu"), "torch": ("torch",)}
_IMAGES = {"scikit-learn": "modelserver-sklearn", "xgboost": "modelserver-xgboost", "torch": "modelserver-pytorch"}


@dataclass(frozen=True, slots=True)
class Skew:
    """One distribution whose saved and installed versions differ so much that loading may fail or answers change."""

    distribution: str
    saved: str
    installed: str

    def __str__(self) -> str:
        """One line: what is different, and the two ways out.

        >>> print(Skew("scikit-learn", "1.4.2", "1.9.1"))
        saved with scikit-learn 1.4.2, installed is 1.9.1: pip install scikit-learn==1.4.2, or the image \
modelserver-sklearn with scikit-learn 1.4
        """
        installed = f"installed is {self.installed}" if self.installed else "which is not installed"
        exact = f"{self.distribution}=={self.saved}" if "." in self.saved else f'"{self.distribution}{self._range()}"'
        image = _IMAGES.get(self.distribution)
        other = f", or the image {image} with {self.distribution} {_short(self.saved)}" if image else ""
        return f"saved with {self.distribution} {self.saved}, {installed}: pip install {exact}{other}"

    def _range(self) -> str:
        return f">={self.saved},<{int(self.saved) + 1}"


def installed_version(distribution: str) -> str:
    """The version that is installed; empty when it is not."""
    for name in _NAMES.get(distribution, (distribution,)):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def skews(saved: Mapping[str, str], installed: Callable[[str], str] = installed_version) -> list[Skew]:
    """What does not fit: another minor version of scikit-learn, another major one of XGBoost or numpy, a newer torch.

    scikit-learn promises nothing about pickles of another version; XGBoost's formats and PyTorch's are read by later
    versions. numpy 2 reads the pickles of numpy 1, so that way round is no skew.
    """
    found = []
    for distribution, ours in saved.items():
        there = installed(distribution)
        if not there or _differs(distribution, _numbers(ours), _numbers(there)):
            found.append(Skew(distribution, ours, there))
    return found


def _differs(distribution: str, saved: tuple[int, ...], installed: tuple[int, ...]) -> bool:
    if distribution == "scikit-learn":
        return saved[:2] != installed[:2]
    if distribution == "torch":
        return saved[:2] > installed[:2]
    if distribution == "numpy":
        return saved[:1] > installed[:1]
    return saved[:1] != installed[:1]


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``1.9.1rc1`` is (1, 9, 1)."""
    numbers = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _short(text: str) -> str:
    return ".".join(text.split(".")[:2])
