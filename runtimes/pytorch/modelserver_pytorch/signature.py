"""What an exported program takes and gives: names, datatypes, shapes, and which sizes must fit to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from modelserver import BatchSettings, InvalidInput, TensorMetadata
from modelserver_pytorch.tensors import datatype_of, named

#: The largest size that a range may state and mean: torch writes infinity as more than this.
_UNBOUNDED = 2**31
#: torch writes 2 where it only means that 0 and 1 were not told apart from the others.
REAL_MINIMUM = 3
_NUMBERS = {torch.SymInt: "INT64", torch.SymFloat: "FP64", torch.SymBool: "BOOL"}


class Leaf:
    """The place of one value among all that a program takes or gives. Not a dataclass: those are flattened too."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor (or a number) that a program takes or gives.

    ``sizes`` are its own: a whole number, or the expression of a dynamic one.
    """

    index: int
    metadata: TensorMetadata
    dtype: torch.dtype | None
    sizes: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """An exported program's inputs and outputs, and the constants among its arguments by their index."""

    inputs: Sequence[Value]
    outputs: Sequence[Value]
    constants: Mapping[int, Any]
    ranges: Mapping[Any, tuple[int, int | None]]

    def batching(self) -> BatchSettings | None:
        """Batching where every input and output has the dynamic size of its rows first, and nowhere else."""
        firsts = {value.sizes[0] for value in self.inputs if value.sizes}
        everything = [*self.inputs, *self.outputs]
        rowwise = all(
            value.sizes and value.sizes[0] in firsts and not firsts & set(value.sizes[1:]) for value in everything
        )
        if not rowwise or any(isinstance(size, int) for size in firsts):
            return None
        limits = [limit for size in firsts if (limit := self.ranges.get(size, (0, None))[1]) is not None]
        default = BatchSettings()
        return BatchSettings(max_batch_size=min([*limits, default.max_batch_size]))

    def check(self, shapes: Sequence[Sequence[int]]) -> None:
        """``InvalidInput`` naming the input for sizes that do not fit to each other, or lie out of their range."""
        known: dict[Any, tuple[int, str]] = {}
        for value, shape in zip(self.inputs, shapes, strict=True):
            name = value.metadata.name
            for axis, (size, expected) in enumerate(zip(shape, value.sizes, strict=True)):
                if isinstance(expected, int):
                    continue
                first, where = known.setdefault(expected, (size, f"axis {axis} of {name!r}"))
                field = f"inputs[{name!r}].shape: got {list(shape)}"
                if size != first:
                    raise InvalidInput(f"{field}, expected {first} on axis {axis}: the same as {where}")
                low, high = self.ranges.get(expected, (0, None))
                if size < low or (high is not None and size > high):
                    limits = f"at least {low}" if high is None else f"{low} to {high}" if low else f"at most {high}"
                    raise InvalidInput(f"{field}, expected {limits} on axis {axis}")


def read_signature(program: ExportedProgram) -> Signature:
    """What ``program`` takes and gives; ``TypeError`` for a tensor that the protocol cannot carry."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    taken = [nodes[name].meta["val"] for name in user_inputs(program)]
    given = [_meta(program, index) for index, each in enumerate(program.graph_signature.output_specs) if _is_user(each)]
    inputs, constants = [], {}
    for name, leaf in _input_names(program):
        value = _value(leaf.index, name, taken[leaf.index])
        if value is None:
            constants[leaf.index] = taken[leaf.index]
        else:
            inputs.append(value)
    outputs = [
        value
        for name, leaf in named(leaves(program.call_spec.out_spec))
        if (value := _value(leaf.index, name, given[leaf.index], output=True)) is not None
    ]
    ranges = {key: _range(limits) for key, limits in program.range_constraints.items()}
    return Signature(inputs, outputs, constants, ranges)


def user_inputs(program: ExportedProgram) -> list[str]:
    """The names of the placeholders that stand for the program's arguments, flattened."""
    return [each.arg.name for each in program.graph_signature.input_specs if _is_user(each)]


def _is_user(each: Any) -> bool:
    return bool(each.kind.name in ("USER_INPUT", "USER_OUTPUT"))


def _meta(program: ExportedProgram, index: int) -> Any:
    """An output's shape and datatype as the program has them, or its value where it is always the same."""
    output = next(node for node in reversed(program.graph.nodes) if node.op == "output")
    argument = output.args[0][index]
    return argument.meta["val"] if isinstance(argument, torch.fx.Node) else argument


def leaves(spec: Any) -> Any:
    """A structure of torch's as one that holds the place of each value."""
    return pytree.tree_unflatten([Leaf(index) for index in range(spec.num_leaves)], spec)


def _input_names(program: ExportedProgram) -> Iterator[tuple[str, Leaf]]:
    """Each argument by the name of its parameter, and what is inside of it by its path."""
    args, kwargs = leaves(program.call_spec.in_spec)
    root = program.module_call_graph[0].signature
    names = list((root.forward_arg_names if root else None) or [f"input-{index}" for index in range(len(args))])
    # A parameter like *images gives its name once.
    names += [f"input-{index}" for index in range(len(names), len(args))]
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        if isinstance(value, Leaf):
            yield name, value
        else:
            yield from named(value, name)


def _value(index: int, name: str, meta: Any, output: bool = False) -> Value | None:
    """``None`` for what is no input or output: a constant among the arguments, nothing among the results."""
    if isinstance(meta, torch.Tensor):
        sizes: tuple[Any, ...] = tuple(_size(size) for size in meta.shape)
        shape = [size if type(size) is int else -1 for size in meta.shape]
        if output and not shape:
            shape, sizes = [1], (1,)
        metadata = TensorMetadata(name, datatype_of(meta.dtype, name), shape)
        return Value(index, metadata, meta.dtype, sizes)
    if type(meta) in _NUMBERS:
        return Value(index, TensorMetadata(name, _NUMBERS[type(meta)], [1]), None, (1,))
    if output and isinstance(meta, (bool, int, float)):
        datatype = "BOOL" if isinstance(meta, bool) else "INT64" if isinstance(meta, int) else "FP64"
        return Value(index, TensorMetadata(name, datatype, [1]), None, (1,))
    if output and meta is not None:
        raise TypeError(f"{name} is of {type(meta).__name__}, which the protocol cannot carry")
    return None


def _size(size: Any) -> Any:
    """A fixed size, or the expression of a dynamic one."""
    return size if type(size) is int else size.node.expr


def _range(limits: Any) -> tuple[int, int | None]:
    lower, upper = limits.lower, limits.upper
    low = int(lower) if lower.is_number and lower >= REAL_MINIMUM else 0
    return low, int(upper) if upper.is_number and upper < _UNBOUNDED else None
