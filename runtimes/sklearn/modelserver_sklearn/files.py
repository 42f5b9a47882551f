"""A file -> the estimator in it: pickles by joblib, ``.skops`` without running what is in it."""

import warnings
from pathlib import Path
from typing import Any

from modelserver import ModelServerError


def read_estimator(path: Path, trusted: str = "") -> Any:
    """The object in a file. Of ``.skops`` only types that skops trusts, or ``trusted`` names (with commas).

    ``ModelServerError`` names the types that nobody trusts. That the file is of another version of scikit-learn is
    not said here: the server says it of every artifact, in one line.
    """
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings(action="ignore", category=InconsistentVersionWarning):
        if path.suffix == ".skops":
            return _read_skops(path, [name.strip() for name in trusted.split(",") if name.strip()])
        import joblib

        return joblib.load(path)


def _read_skops(path: Path, trusted: list[str]) -> Any:
    try:
        from skops.io import get_untrusted_types, load
    except ModuleNotFoundError:
        raise ModelServerError('.skops needs the package skops: pip install "modelserver-sklearn[skops]"') from None
    found = get_untrusted_types(file=path)
    if missing := sorted(set(found) - set(trusted)):
        raise ModelServerError(
            f"{path.name}: holds types that are not trusted: {', '.join(missing)};"
            " name them in skops_trusted if whoever made the file is"
        )
    return load(path, trusted=[name for name in trusted if name in found])
