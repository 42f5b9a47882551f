"""What a compiled package takes, read from the C++ source that torch leaves beside the machine code in it.

Compiled code checks nothing by itself: a tensor of another size than it was compiled for is read, and written, beyond
its end. torch can make it check (``AOTI_RUNTIME_CHECK_INPUTS``), and then it refuses batches of one whenever the size
of batches is free. So what those checks expect is read from the source, and checked before the code is called.

Source of the format: ``torch/_inductor/codegen/cpp_wrapper_cpu.py``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch

from modelserver import TensorMetadata
from modelserver_pytorch.signature import REAL_MINIMUM, Value
from modelserver_pytorch.tensors import datatype_of

_NAME = re.compile(r'inputs_info_\[(\d+)\]\.name = "(\w+)";')
_SIZES = r'assert_size_stride\({0}, \{{([^}}]*)\}}, \{{[^}}]*\}}, "input"\)'
_DTYPE = r"{0}_expected_dtype = aoti_torch_dtype_(\w+)\(\)"
_LEAST = r"{0}_size\[(\d+)\] < (\d+)\)"
_MOST = r"{0}_size\[(\d+)\] > (\d+)\)"

Ranges = dict[str, tuple[int, int | None]]


def read_inputs(file: Path, names: Sequence[str]) -> tuple[list[Value], Ranges] | None:
    """The inputs of a package, called ``names`` in their order, and the ranges of sizes that are free.

    ``None`` when the package does not say, or says it in words that are not known here.
    """
    source = _source(file)
    arguments = [name for _, name in sorted((int(index), name) for index, name in _NAME.findall(source))]
    if not arguments or len(arguments) != len(names):
        return None
    values: list[Value] = []
    ranges: Ranges = {}
    for index, (argument, name) in enumerate(zip(arguments, names, strict=True)):
        written = re.search(_SIZES.format(argument), source)
        kind = re.search(_DTYPE.format(argument), source)
        dtype = getattr(torch, kind[1], None) if kind else None
        if written is None or not isinstance(dtype, torch.dtype):
            return None
        sizes = [_size(text) for text in written[1].replace(" ", "").split(",") if text]
        if None in sizes:
            return None
        for axis, least in re.findall(_LEAST.format(argument), source):
            if int(least) >= REAL_MINIMUM:
                _narrow(ranges, sizes[int(axis)], int(least), None)
        for axis, most in re.findall(_MOST.format(argument), source):
            _narrow(ranges, sizes[int(axis)], 0, int(most))
        shape = [size if isinstance(size, int) else -1 for size in sizes]
        values.append(Value(index, TensorMetadata(name, datatype_of(dtype, name), shape), dtype, tuple(sizes)))
    return values, ranges


def _source(file: Path) -> str:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if "/data/aotinductor/" in name and name.endswith("wrapper.cpp")]
        return archive.read(names[0]).decode(errors="replace") if len(names) == 1 else ""


def _size(text: str) -> int | str | None:
    """``4L`` is four, ``s52`` a size that is free; an expression of several is not understood."""
    if re.fullmatch(r"\d+L?", text):
        return int(text.removesuffix("L"))
    return text if text.isidentifier() else None


def _narrow(ranges: Ranges, size: int | str | None, least: int, most: int | None) -> None:
    if isinstance(size, str):
        low, high = ranges.get(size, (0, None))
        ranges[size] = max(low, least), most if high is None else high if most is None else min(high, most)
