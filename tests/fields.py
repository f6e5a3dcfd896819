"""Every field of every request, found in the contract itself, and what those are that name something."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default

from wherry_proto import codec, messages, services  # noqa: F401 - codec loads the descriptors

# What a field of this name names.
KINDS = {
    "app_id": "app",
    "app_name": "app_name",
    "blob_id": "blob",
    "blob_ids": "blob",
    "call_id": "call",
    "client_id": "client",
    "app": "app",
    "container_id": "container",
    "record_id": "input",
    "dict_id": "dict",
    "environment": "environment",
    "environments": "environment",
    "function": "function",
    "function_id": "function",
    "image_id": "image",
    "input_id": "input",
    "input_ids": "input",
    "lease_id": "operation",
    "object_id": "object",
    "operation_id": "operation",
    "parent_input_id": "input",
    "queue_id": "queue",
    "sandbox_id": "sandbox",
    "secret_id": "secret",
    "secret_ids": "secret",
    "source_id": "source",
    "taken": "input",
    "token_id": "token",
    "volume_id": "volume",
    "writer_id": "operation",
}
# Texts that name nothing that the service keeps, or a thing only beside one of the above.
PLAIN = {
    # Nobody knows that of another's session.
    "token",
    # A record's, in the order of lists.
    "after",
    "args", "bucket", "command", "commit", "cron", "custom_domains", "default_json", "destination", "endpoint_url",
    "domains", "exec_args", "fields", "networks", "types",
    "file_name", "function_name", "key", "key_prefix", "kind", "label", "link", "method", "module_name", "name",
    "new_name", "partition",
    "path", "paths", "prefix", "python", "qualname", "remote_path", "required_keys", "scopes", "search", "socket",
    "sources", "sub_path", "tag", "timezone", "token_name", "type", "user", "user_data", "version", "workdir",
    "web_url",
}  # fmt: skip

Path = tuple[FieldDescriptor, ...]


def paths_of(method: str) -> list[Path]:
    """Return the ways to all fields of a method's request that are texts, those of messages within it as well."""
    return list(_paths(Default().FindMessageTypeByName(f"wherry.v1.{services.METHODS[method].request}"), ()))


def _paths(message: Descriptor, way: Path) -> Iterator[Path]:
    for field in message.fields:
        inner = field.message_type
        if inner is None:
            if field.type == FieldDescriptor.TYPE_STRING:
                yield (*way, field)
        elif not inner.GetOptions().map_entry and all(step.message_type is not inner for step in way):
            yield from _paths(inner, (*way, field))


def naming(method: str) -> list[Path]:
    """Return the ways to the fields of a method's request that name something."""
    return [path for path in paths_of(method) if path[-1].name in KINDS]


def put(request: Any, path: Path, value: str) -> None:
    """Set a field; messages on the way are made where they are not there."""
    for field in path[:-1]:
        known = getattr(request, field.name)
        made = getattr(messages, field.message_type.name)
        if field.is_repeated:
            if not known:
                known.append(made())
            request = known[0]
        else:
            if known is None:
                known = made()
                setattr(request, field.name, known)
            request = known
    last = path[-1]
    setattr(request, last.name, [value] if last.is_repeated else value)


def name_of(path: Path) -> str:
    return ".".join(field.name for field in path)
