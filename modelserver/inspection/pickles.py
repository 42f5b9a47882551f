"""Reads a pickle as data: the objects that it describes, none of them made, nothing imported, nothing run.

It follows the opcodes of the pickle protocol (documented in the standard library's ``pickletools``) with a stack of
its own, on which a global is its name and an object is a note of what would be called with what. joblib writes the
bytes of arrays into the middle of its pickles; they are stepped over.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from modelserver.inspection.findings import Unreadable
from modelserver.inspection.nodes import Global, Made, Node, Pickle, elements_of, width_of
from modelserver.inspection.streams import ERRORS, Budgeted

#: No model that somebody waits for has more; a hostile one is not followed for ever.
MOST_OPCODES = 50_000_000
_CHUNK = 1 << 20
_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_PLAIN = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_CONSTANTS: dict[str, bool | None] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Node]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})

# What a stack machine stumbles over when the opcodes are not those that a pickler wrote.
_SENSELESS = (*ERRORS, AttributeError, ValueError, LookupError, TypeError, struct.error, OverflowError, MemoryError)


def read_pickle(file: BinaryIO | Budgeted, most: int = MOST_OPCODES, until_version: bool = False) -> Pickle:
    """Read one pickle from where ``file`` stands to its end; what it has is returned also when it is damaged.

    ``until_version`` stops at scikit-learn's version, which is a fraction of the work.
    """
    found = Pickle()
    machine = _Machine(file, found, until_version)
    try:
        machine.run(most)
    except Unreadable as exc:
        found.error = str(exc)
    except _SENSELESS:
        found.error = f"not a pickle, or damaged after {machine.opcodes} opcodes"
    return found


class _Machine:
    def __init__(self, file: BinaryIO | Budgeted, found: Pickle, until_version: bool) -> None:
        self._file = file
        self._found = found
        self._until_version = until_version
        self._stack: list[Node] = []
        self._marked: list[list[Node]] = []
        self._memo: dict[int, Node] = {}
        self.opcodes = 0

    def run(self, most: int) -> None:
        found = self._found
        for opcode, argument, _ in self._operations():
            self.opcodes += 1
            if self.opcodes > most:
                raise Unreadable(f"more than {most} opcodes: not read to the end")
            self._do(opcode.name, argument)
            if found.finished or (self._until_version and found.sklearn_version):
                return

    def _operations(self) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
        try:
            yield from pickletools.genops(cast("BinaryIO", self._file))
        except (ValueError, EOFError) as exc:
            text = str(exc)
            if isinstance(exc, EOFError) or "exhausted" in text or "expected" in text or "not enough data" in text:
                raise Unreadable(f"the pickle is cut short after {self.opcodes} opcodes") from exc
            raise Unreadable(f"not a pickle, or damaged after {self.opcodes} opcodes") from exc

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _PLAIN:
            stack.append(argument)
        elif name in _PUTS:
            self._memo[len(self._memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[int(argument)])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            self._marked.append(stack)
            self._stack = []
        elif name not in ("PROTO", "FRAME", "STOP"):
            getattr(self, "_" + name.lower())(argument)
        elif name == "STOP":
            self._found.root, self._found.finished = stack.pop(), True
        elif name == "PROTO":
            self._found.protocol = argument

    def _to_mark(self) -> list[Node]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    # Stack.

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _pop_mark(self, _: Any) -> None:
        self._to_mark()

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    # Containers.

    def _tuple(self, _: Any) -> None:
        items = self._to_mark()  # before the stack is looked at, for it changes it
        self._stack.append(tuple(items))

    def _tuple1(self, _: Any) -> None:
        self._stack[-1:] = [tuple(self._stack[-1:])]

    def _tuple2(self, _: Any) -> None:
        self._stack[-2:] = [tuple(self._stack[-2:])]

    def _tuple3(self, _: Any) -> None:
        self._stack[-3:] = [tuple(self._stack[-3:])]

    def _list(self, _: Any) -> None:
        items = self._to_mark()
        self._stack.append(items)

    def _dict(self, _: Any) -> None:
        items = self._to_mark()
        self._stack.append({})
        self._set(items)

    def _empty_set(self, _: Any) -> None:
        self._stack.append(Made(Global("builtins", "set")))

    def _frozenset(self, _: Any) -> None:
        items = self._to_mark()
        self._stack.append(Made(Global("builtins", "frozenset"), items=items))

    def _append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    _additems = _appends

    def _extend(self, items: list[Node]) -> None:
        target = self._stack[-1]
        (target.items if isinstance(target, Made) else target).extend(items)

    def _setitem(self, _: Any) -> None:
        self._set([self._stack.pop(-2), self._stack.pop()])

    def _setitems(self, _: Any) -> None:
        self._set(self._to_mark())

    def _set(self, items: list[Node]) -> None:
        target = self._stack[-1]
        mapping = target.mapping if isinstance(target, Made) else target
        for key, value in zip(items[::2], items[1::2], strict=True):
            mapping[key if isinstance(key, (str, int)) else id(key)] = value
            if key == "_sklearn_version" and isinstance(value, str) and not self._found.sklearn_version:
                self._found.sklearn_version = value

    # Globals and objects.

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._import(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Unreadable("not a pickle: a global without a name")
        self._import(module, name)

    def _import(self, module: str, name: str) -> None:
        found = Global(module, name)
        self._found.globals[str(found)] = None
        self._stack.append(found)

    def _reduce(self, _: Any) -> None:
        arguments = self._stack.pop()
        self._stack[-1] = Made(self._stack[-1], arguments)

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        keywords, arguments = self._stack.pop(), self._stack.pop()
        self._stack[-1] = Made(self._stack[-1], arguments, mapping=dict(keywords))

    def _inst(self, argument: str) -> None:
        arguments = self._to_mark()
        self._global(argument)
        self._stack[-1] = Made(self._stack[-1], tuple(arguments))

    def _obj(self, _: Any) -> None:
        cls, *arguments = self._to_mark()
        self._stack.append(Made(cls, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if not isinstance(target, Made):
            return
        target.state = state
        if isinstance(target.what, Global) and (target.what.module, target.what.name) == _WRAPPER:
            target.items = self._array(state)

    def _persid(self, argument: Any) -> None:
        self._stack.append(Made("persistent", (argument,)))

    def _binpersid(self, _: Any) -> None:
        self._stack[-1] = Made("persistent", (self._stack[-1],))

    def _ext1(self, argument: Any) -> None:
        self._stack.append(Made("extension", (argument,)))

    _ext2 = _ext4 = _ext1

    def _next_buffer(self, _: Any) -> None:
        self._stack.append(Made("buffer"))

    def _readonly_buffer(self, _: Any) -> None:
        """The buffer stays what it is."""

    # joblib's arrays.

    def _array(self, wrapper: dict[str, Node]) -> list[Node]:
        """Step over the bytes of an array; the elements of one of objects, which is a pickle in the pickle."""
        width = width_of(wrapper["dtype"])
        if width is None:
            inner = Pickle(globals=self._found.globals, sklearn_version=self._found.sklearn_version)
            _Machine(self._file, inner, self._until_version).run(MOST_OPCODES)
            self._found.sklearn_version = inner.sklearn_version
            return elements_of(inner.root)
        left = width
        for size in wrapper["shape"]:
            left *= size
        if wrapper.get("numpy_array_alignment_bytes") is not None:
            left += (self._file.read(1) or b"\0")[0]
        while left > 0:
            size = min(left, _CHUNK)
            read = self._file.skip(size) if isinstance(self._file, Budgeted) else len(self._file.read(size))
            if not read:
                raise Unreadable(f"cut short: {left} bytes of an array are missing")
            left -= read
        return []
