"""What a model file holds, told by its bytes and not by its name; nothing in it is executed, and torch not imported.

Sources: torch's own archives are zip files (``torch/csrc/export/pt2_archive_constants.h`` for ``.pt2``; TorchScript
has ``constants.pkl`` and ``code/`` where ``torch.save`` has ``data.pkl`` alone); a safetensors file begins with the
length of its JSON header in eight bytes; a TorchServe archive is a zip file with ``MAR-INF/MANIFEST.json``.
"""

from __future__ import annotations

import zipfile
from enum import Enum
from pathlib import Path

MANIFEST = "MAR-INF/MANIFEST.json"
_ZIP = b"PK\x03\x04"
# torch.save before 1.6: a pickle of this number comes first. Any pickle of protocol 2 and later begins with \x80.
_PICKLE = b"\x80"


class Form(Enum):
    """The forms a model of PyTorch's comes in."""

    EXPORTED = "exported program"
    COMPILED = "AOTInductor package"
    SCRIPT = "TorchScript"
    WEIGHTS = "weights"
    SAFETENSORS = "safetensors"
    ARCHIVE = "TorchServe archive"


def form_of(file: Path) -> Form:
    """The form of a model file; ``ValueError`` with the reason, in one line, when it is none of them."""
    with file.open("rb") as stream:
        start = stream.read(64)
    size = file.stat().st_size
    if not start:
        raise ValueError(f"{file.name} is empty")
    if start.startswith(_ZIP):
        return _form_of_zip(file)
    if _is_safetensors(start, size):
        return Form.SAFETENSORS
    if start.startswith(_PICKLE) and file.suffix != ".safetensors":
        return Form.WEIGHTS
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{file.name} is a Git LFS pointer and not the file itself: git lfs pull brings it")
    raise ValueError(f"{file.name} is {_looks_like(start)}, not a model of PyTorch's")


def _form_of_zip(file: Path) -> Form:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise ValueError(f"{file.name} is truncated or damaged: a zip archive without its table of contents") from None
    if MANIFEST in names:
        return Form.ARCHIVE
    inside = {name.partition("/")[2] for name in names}  # all of torch's archives have one directory around them
    if any(name.startswith("data/aotinductor/") for name in inside):
        return Form.COMPILED
    if "archive_format" in inside or "serialized_exported_program.json" in names:
        return Form.EXPORTED
    if "constants.pkl" in inside:
        return Form.SCRIPT
    if "data.pkl" in inside:
        return Form.WEIGHTS
    if file.suffix == ".mar":
        raise ValueError(f"{file.name} has no {MANIFEST}: not made by torch-model-archiver")
    raise ValueError(f"{file.name} is a zip archive, but not one of PyTorch's")


def _is_safetensors(start: bytes, size: int) -> bool:
    return len(start) > 8 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= size - 8


def _looks_like(start: bytes) -> str:
    if start.lstrip().startswith((b"<", b"{")):
        return "HTML, XML or JSON"
    if start.startswith(b"\x89HDF"):
        return "HDF5 (Keras?)"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    return "text" if start.isascii() and start.decode().isprintable() else "damaged or something else"
