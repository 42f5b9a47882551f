"""What an artifact is, read from its bytes: nothing in it is unpickled, imported or run.

::

    found = inspect(Path("model.joblib"))
    found.framework, found.saved_with         # "scikit-learn", {"scikit-learn": "1.4.2", "numpy": "1"}
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from modelserver.inspection.archives import archive_findings
from modelserver.inspection.boosters import END, booster_findings, json_findings, version_at_end
from modelserver.inspection.estimators import pickle_findings, tree_findings
from modelserver.inspection.exports import LEGACY_MAGIC, legacy_findings, safetensors_findings
from modelserver.inspection.findings import Findings, Unreadable
from modelserver.inspection.pickles import read_pickle
from modelserver.inspection.streams import Budgeted, compression, decompressed

__all__ = ["Findings", "Unreadable", "inspect", "saved_with", "sha256_of"]

#: Enough opcodes to come across the version of any estimator, few enough not to be felt when a model is loaded.
ENOUGH = 400_000
#: So many bytes of it, arrays left out.
QUICK = 64 * 1024 * 1024
# An estimator's last attribute, for one whose arrays are too large to read up to it.
_VERSION_AT_END = re.compile(rb"_sklearn_version[^\d]{1,8}?[\x8c\x58V].{0,4}?(\d+\.\d+(?:\.\d+)?(?:rc\d+)?)", re.DOTALL)
# What often lies where a model should.
_NO_MODELS = {
    b"version https://git-lfs": "it is a pointer of git-lfs and not the file itself: git lfs pull",
    b"<!doctype html": "it is a page of HTML, as a failed download leaves it",
    b"<html": "it is a page of HTML, as a failed download leaves it",
}
# First bytes of what other servers serve, to say so by name.
_OTHERS = {
    b"\x89HDF\r\n\x1a\n": ("HDF5", "keras"),
    b"CBM1": ("CatBoost", "catboost"),
    b"tree\n": ("LightGBM text", "lightgbm"),
    b"PAR1": ("Parquet", ""),
    b"GGUF": ("GGUF", "llama.cpp"),
    b"<?xml": ("XML (PMML?)", ""),
}
_STARTS = {b"PK": "zip archive", b"{L": "UBJSON", b"{": "JSON", b"\x80": "pickle", b"binf": "XGBoost"}
_PICKLES = (".pkl", ".pickle", ".joblib")


def inspect(path: Path) -> Findings:
    """What the file at ``path`` is; of anything damaged or unknown ``damage`` says so. ``OSError`` when unreadable."""
    with path.open("rb") as file:
        return _read(file, path.name)


def saved_with(path: Path) -> Mapping[str, str]:
    """Distribution -> version that a model was saved with, as far as its bytes say; empty when they do not.

    Quick enough to be asked whenever a model is loaded, however large it is.
    """
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        packed = compression(head)
        if packed or head[:1] == b"\x80":
            return _quick_pickle(file, packed, path.name)
        if head[:1] == b"{" and (version := version_at_end(_end(file, END))):
            return {"xgboost": version}
        if head.startswith(b"PK"):
            try:
                return archive_findings(file, lambda _, name: Findings(name)).saved_with
            except Unreadable:
                return {}
        return _read(file, path.name).saved_with


def _quick_pickle(file: BinaryIO, packed: str, name: str) -> Mapping[str, str]:
    try:
        stream = Budgeted(decompressed(file, packed) if packed else file, QUICK, free=not packed)
        found = read_pickle(stream, ENOUGH, until_version=True)
    except Unreadable:
        return {}
    if "xgboost.core.Booster" in found.globals:  # the version lies in the booster's own bytes
        return _read(file, name).saved_with
    if not packed and not found.sklearn_version and (at_end := _VERSION_AT_END.search(_end(file, END))):
        found.sklearn_version = at_end[1].decode()
    return tree_findings(found, "").saved_with


def _end(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, file.seek(0, io.SEEK_END) - size))
    return file.read()


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(file: BinaryIO, name: str) -> Findings:
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    try:
        if not head:
            return Findings("empty", damage="it is empty")
        return _by_content(file, head, name)
    except Unreadable as exc:
        return Findings(_format(head), damage=str(exc))


def _format(head: bytes) -> str:
    """What is left to say of a file that cannot be read to the end."""
    if packed := compression(head):
        return f"compressed ({packed})"
    return next((name for magic, name in _STARTS.items() if head.startswith(magic)), "unknown")


def _by_content(file: BinaryIO, head: bytes, name: str) -> Findings:
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return archive_findings(file, _read)
    if head[:1] == b"{":
        return _braces(file, head)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return safetensors_findings(file)
    if head.startswith(b"binf"):
        return Findings(
            "XGBoost's old binary form",
            framework="xgboost",
            damage="XGBoost 3.1 and later do not read it: load it in XGBoost 3.0 or before, and save it as .ubj",
        )
    for magic, damage in _NO_MODELS.items():
        if head.lower().startswith(magic):
            return Findings("text", damage=damage)
    for magic, (kind, framework) in _OTHERS.items():
        if head.startswith(magic):
            return Findings(kind, framework=framework, damage=f"{kind} is no format that an official runtime reads")
    return _pickle(file, head, name)


def _braces(file: BinaryIO, head: bytes) -> Findings:
    """UBJSON or JSON: in UBJSON the length of a key follows, in JSON its quotation mark."""
    if head[1:2] in (b"L", b"l", b"i", b"U", b"I", b"$", b"#"):
        return booster_findings(file.read(), "XGBoost UBJSON")
    return json_findings(file.read())


def _pickle(file: BinaryIO, head: bytes, name: str) -> Findings:
    packed = compression(head)
    suffix = Path(name).suffix.lower()
    if not packed and head[:1] != b"\x80" and suffix not in _PICKLES:
        raise Unreadable("its format is not known")
    if packed:
        return pickle_findings(decompressed(file, packed), f"joblib ({packed})")
    first = read_pickle(file, most=8)
    if first.root == LEGACY_MAGIC:
        file.seek(0)
        return legacy_findings(file)
    file.seek(0)
    return pickle_findings(file, "joblib" if b"joblib" in _start(file) else "")


def _start(file: BinaryIO) -> bytes:
    start = file.read(io.DEFAULT_BUFFER_SIZE)
    file.seek(0)
    return start
