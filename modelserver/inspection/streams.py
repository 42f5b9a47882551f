"""Files that may be compressed, as joblib compresses them: by their first bytes, whatever they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from importlib import import_module
from typing import BinaryIO, cast

from modelserver.inspection.findings import Unreadable

# The first bytes of what joblib writes (its file names do not count).
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
    b"ZF": "joblib before 0.10",
}
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  # the levels of compression
#: What damaged compressed streams raise.
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, RuntimeError)


def compression(head: bytes) -> str:
    """The name of the compression that a file with these first bytes has; empty for none.

    >>> compression(gzip.compress(b"x"))
    'gzip'
    """
    if head[:2] in _ZLIB:
        return "zlib"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def decompressed(file: BinaryIO, kind: str) -> BinaryIO:
    """A file with the contents of a compressed one; ``Unreadable`` when nothing here can read that compression."""
    if kind == "zlib":
        return io.BufferedReader(_Zlib(file))
    if kind == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if kind == "bz2":
        return cast("BinaryIO", bz2.BZ2File(file))
    if kind in ("xz", "lzma"):
        return cast("BinaryIO", lzma.LZMAFile(file))
    if kind == "lz4":
        try:
            return cast("BinaryIO", import_module("lz4.frame").LZ4FrameFile(file))
        except ImportError:
            raise Unreadable("it is compressed with lz4: pip install lz4 to read it") from None
    raise Unreadable(f"it is compressed in the way of {kind}, which nothing here reads")


class _Zlib(io.RawIOBase):
    """A zlib stream, which the standard library has no file for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zlib = zlib.decompressobj()
        self._position = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position  # pickletools asks

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer)).cast("B")
        while True:
            source = self._zlib.unconsumed_tail or self._file.read(1 << 16)
            part = self._zlib.decompress(source, len(view))
            if part:
                view[: len(part)] = part
                self._position += len(part)
                return len(part)
            if not source and not self._zlib.eof:
                raise EOFError("the zlib stream is cut short")
            if self._zlib.eof:
                return 0


class Budgeted:
    """A file of which no more than ``most`` bytes are read; what is stepped over is free where ``file`` can seek."""

    def __init__(self, file: BinaryIO, most: int, free: bool) -> None:
        self._file = file
        self._left = most
        self._free = free
        self.readline = file.readline
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """``size`` bytes, or what is left of the file; ``Unreadable`` when that is too much."""
        self._left -= size
        if self._left < 0:
            raise Unreadable("too large for a quick look")
        return self._file.read(size)

    def skip(self, size: int) -> int:
        """Step over ``size`` bytes; how many were stepped over."""
        if self._free:
            self._file.seek(size, io.SEEK_CUR)
            return size
        return len(self.read(size))
