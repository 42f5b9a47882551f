"""The pool our messages live in: apart from protobuf's default one, where other packages have the same symbols."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

from modelserver.protocols._pb.descriptors import DESCRIPTORS


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTORS)).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


#: For the reflection service; nothing is added to it.
POOL = _pool()


def message_class(name: str) -> Any:
    """The class of a message by its full name."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))
