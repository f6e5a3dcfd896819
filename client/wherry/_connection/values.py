"""Keys and values of shared objects, as bytes."""

import io
import pickle
from typing import TYPE_CHECKING, Any

from wherry._base.words import with_article
from wherry._connection import pickling
from wherry.exception import DeserializationError, SerializationError
from wherry_proto.messages import Format, Payload

if TYPE_CHECKING:
    from wherry._connection.client import Client


def key_bytes(key: Any) -> bytes:
    """Pickle a key so that equal ones give equal bytes, in any process, as far as their own pickling allows."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(pickling.Flat(buffer), pickling.PROTOCOL)
    # Without its memory of what it has seen: one string twice and two equal strings are the same then.
    pickler.fast = True
    try:
        pickler.dump(key)
        return buffer.getvalue()
    except pickling.UNPICKLABLE:
        try:
            return pickling.dumps(key, False)
        except pickling.UNPICKLABLE as error:
            raise SerializationError(f"the key {key!r:.80} can't be pickled: {error}") from error


def key_of(client: "Client", data: bytes) -> Any:
    """Return the key; raise DeserializationError where it can't be unpickled here."""
    return client.blobs.loads(data)


def payload_of(client: "Client", value: Any, what: str) -> Payload:
    """Pickle a value; above 1 MiB it goes to the service as a blob. Raises SerializationError naming `what`."""
    try:
        if pickling.is_large(((value,), {})):
            return client.blobs.put(lambda file: pickling.dump(value, file, False))
        data = pickling.dumps(value, False)
    except pickling.UNPICKLABLE as error:
        raise SerializationError(
            f"{what} can't be stored: {with_article(type(value).__qualname__)} can't be pickled ({error})"
        ) from error
    if len(data) > pickling.INLINE_LIMIT:
        return client.blobs.put_bytes(data)
    return Payload(format=Format.PICKLE, data=data, size=len(data))


def value_of(client: "Client", payload: Payload | None) -> Any:
    """Return the value; raise DeserializationError where it can't be unpickled here."""
    if payload is None:
        raise DeserializationError("the service answered without a value")
    if not payload.blob_id:
        return client.blobs.loads(payload.data)
    return client.blobs.load(payload)
