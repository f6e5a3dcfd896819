"""Protobuf's classes of a file, by its public functions alone: these work with every protobuf from 4.25 on."""

from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass


def load(names: dict[str, Any], serialized: bytes) -> FileDescriptor:
    """Put the classes of a file's messages among the names of a module; return what describes the file."""
    file = Default().AddSerializedFile(serialized)
    names.update({name: GetMessageClass(kind) for name, kind in file.message_types_by_name.items()})
    return file
