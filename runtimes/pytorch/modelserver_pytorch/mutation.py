"""Which of its inputs a program writes to, found from its graph.

A tensor over a request's bytes must not be written to: the bytes may be the interpreter's own (every ``bytes`` of
length one is shared). Operators say in their schemas what they write to, ``Tensor(a!)``, and which results are views
of which arguments, ``Tensor(a)``. So the inputs that each value may be a view of are followed through the graph; a
write to such a value is a write to those inputs. Composite operators may return their argument without saying so
(``dropout`` does), and so may whatever has no schema: these are taken to, but for those known to compute.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import torch

#: The inputs that a value may be a view of.
Roots: TypeAlias = frozenset[str]
NONE: Roots = frozenset()

# Composite operators whose result is always new. An operator that is missing here costs a copy and no more.
_COMPUTE = frozenset(
    "aten::" + name
    for name in (
        *("linear", "matmul", "conv1d", "conv2d", "conv3d", "batch_norm", "layer_norm", "group_norm", "instance_norm"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "softmax", "log_softmax", "relu6", "selu"),
        *("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
        *("adaptive_avg_pool3d", "embedding_bag", "lstm", "gru", "scaled_dot_product_attention", "rms_norm"),
        *("upsample_nearest2d", "upsample_bilinear2d", "size", "sym_size", "item"),
    )
)
_SILENT = frozenset({"aten::_assert_tensor_metadata", "aten::_assert_scalar", "aten::sym_constrain_range_for_size"})


class Flow:
    """Follows inputs through a graph: ``call`` for each operator in order, then ``written`` are those written to."""

    def __init__(self) -> None:
        self.written: Roots = NONE

    def call(self, schema: torch.FunctionSchema, arguments: Sequence[Roots]) -> Roots:
        """An operator with the roots of its arguments by position; returns the roots of its results."""
        views = NONE
        for parameter, roots in zip(schema.arguments, arguments, strict=False):
            alias = parameter.alias_info
            if alias is not None:
                views |= roots
                if alias.is_write:
                    self.written |= roots
        if any(result.alias_info is not None for result in schema.returns):
            return views
        if schema.name in _COMPUTE or schema.name in _SILENT or not _is_composite(schema):
            return NONE
        return NONE.union(*arguments)

    def unknown(self, arguments: Iterable[Roots]) -> Roots:
        """Something without a schema that may do anything to its arguments."""
        roots = NONE.union(*arguments)
        self.written |= roots
        return roots


def written_inputs(module: torch.fx.GraphModule, inputs: Iterable[str]) -> Roots:
    """Those of the placeholders ``inputs`` of an exported program's graph that it may write to."""
    flow = Flow()
    watched = frozenset(inputs)
    roots: dict[torch.fx.Node, Roots] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            roots[node] = watched & {node.name}
        elif node.op == "call_function":
            roots[node] = _follow(flow, node, roots)
        elif node.op in ("call_module", "call_method"):
            roots[node] = flow.unknown(roots[each] for each in node.all_input_nodes)
        else:
            roots[node] = NONE
    return flow.written


def _follow(flow: Flow, node: torch.fx.Node, roots: dict[torch.fx.Node, Roots]) -> Roots:
    if isinstance(node.target, torch._ops.OpOverload):
        schema = node.target._schema
        values = [
            node.args[index] if index < len(node.args) else node.kwargs.get(parameter.name)
            for index, parameter in enumerate(schema.arguments)
        ]
        return flow.call(schema, [_roots_in(value, roots) for value in values])
    given = [roots[each] for each in node.all_input_nodes]
    # Sizes are computed on with Python's own operators; what is left has a graph of its own, as torch.cond has.
    return NONE.union(*given) if getattr(node.target, "__module__", "") == operator.__name__ else flow.unknown(given)


def _roots_in(value: Any, roots: dict[torch.fx.Node, Roots]) -> Roots:
    if isinstance(value, torch.fx.Node):
        return roots[value]
    if isinstance(value, (tuple, list)):
        return NONE.union(*(_roots_in(each, roots) for each in value))
    return NONE


def script_writes(graph: torch.Graph) -> bool:
    """Whether a TorchScript graph, inlined, may write to any of its inputs."""
    flow = Flow()
    roots = {value.debugName(): frozenset({value.debugName()}) for value in graph.inputs()}
    _follow_block(flow, graph, roots)
    return bool(flow.written)


def _follow_block(flow: Flow, block: torch.Graph | torch.Block, roots: dict[str, Roots]) -> None:
    for node in block.nodes():
        given = [roots.get(value.debugName(), NONE) for value in node.inputs()]
        everything = NONE.union(*roots.values())
        for inner in node.blocks():
            # A loop brings anything round to its own parameters.
            roots.update({value.debugName(): everything for value in inner.inputs()})
            _follow_block(flow, inner, roots)
        result = NONE.union(*given)
        if list(node.blocks()):
            result = everything
        elif (text := node.schema()) != "(no schema)":
            result = flow.call(torch._C.parse_schema(text), given)
        elif node.kind() in ("prim::CallMethod", "prim::CallFunction"):
            result = flow.unknown(given)
        elif node.kind() == "prim::Constant":
            result = NONE
        roots.update({value.debugName(): result for value in node.outputs()})


def _is_composite(schema: torch.FunctionSchema) -> bool:
    name = f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name
    try:
        return torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")
    except RuntimeError:  # not a dispatched operator, as prim::min
        return True
