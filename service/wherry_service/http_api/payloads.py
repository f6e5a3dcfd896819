"""Arguments and results on their way between a request's JSON and a call's payloads, of which none is decoded here."""

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from wherry_proto.messages import BlobChunk, BlobGetRequest, Format, Payload
from wherry_service.api.callers import Caller, ask, follow
from wherry_service.http_api.problems import Problem, invalid
from wherry_service.http_api.strict_json import RawJson, Reader, dump, parse
from wherry_service.ids import new_id
from wherry_service.limits import MAX_INLINE

# Bytes of a request's body, and of a result.
MAX_BODY = 1 << 20
MAX_RESULT = 8 << 20
_CHUNK = 1 << 20
_KEYS = ("args", "kwargs", "parameters")
NULL = RawJson(b"null")


class Arguments(NamedTuple):
    """What a call's body says, as JSON: what it was parsed to is many times as large, and is gone."""

    # An object with "args" and "kwargs".
    data: bytes = b"{}"
    # An object with "kwargs"; None where the body has no "parameters", b"" where these are empty.
    parameters: bytes | None = None


class Payloads:
    """Checks what comes and goes."""

    def __init__(self) -> None:
        self.reader = Reader()

    async def arguments(self, body: bytes) -> Arguments:
        """Return what a call's body says: "args", "kwargs" and "parameters"; raise `Problem`."""
        return await self.reader.make(body, _arguments) if body.strip() else Arguments()

    async def put(self, caller: Caller, data: bytes) -> Payload:
        """Return the payload of a call's arguments; large ones become a blob."""
        if len(data) <= MAX_INLINE:
            return Payload(format=Format.JSON, data=data, size=len(data))
        blob_id = new_id("bl")

        async def chunks() -> AsyncIterator[BlobChunk]:
            for start in range(0, len(data), _CHUNK):
                yield BlobChunk(blob_id=blob_id, data=data[start : start + _CHUNK])

        await ask(caller, "Blobs.Put", chunks())
        return Payload(format=Format.JSON, blob_id=blob_id, size=len(data))

    async def get(self, caller: Caller, payload: Payload | None, call_id: str) -> RawJson:
        """Return a result as the container has written it; raise `Problem` for what is no JSON, or too much."""
        if payload is None or (not payload.blob_id and not payload.data):
            return NULL
        if payload.format != Format.JSON:
            raise Problem(
                409,
                "not_json",
                f"call {call_id} was made by a Python program, and its result is Python's: fetch it with "
                f"wherry.FunctionCall.from_id({call_id!r}), or make the call over HTTP",
                call_id=call_id,
            )
        data = payload.data
        if payload.blob_id:
            if payload.size > MAX_RESULT:
                raise _too_large(payload.size, call_id)
            data = await self._blob(caller, payload, call_id)
        try:
            await self.reader.check(data)
        except ValueError as error:
            raise Problem(502, "malformed", f"what the container has answered can't be read: {error}") from None
        return RawJson(data)

    async def _blob(self, caller: Caller, payload: Payload, call_id: str) -> bytes:
        found = bytearray()
        request = BlobGetRequest(blob_id=payload.blob_id)
        async with contextlib.aclosing(follow(caller, "Blobs.Get", request)) as chunks:
            async for chunk in chunks:
                found += chunk.data
                if len(found) > MAX_RESULT:
                    raise _too_large(payload.size, call_id)
        return bytes(found)


def _arguments(body: bytes) -> Arguments:
    try:
        found = parse(body)
    except ValueError as error:
        raise invalid(f"the request's body can't be read: {error}") from None
    if not isinstance(found, dict):
        raise invalid('the request\'s body is no object: send {"args": [...], "kwargs": {...}}')
    if unknown := [name for name in found if name not in _KEYS]:
        raise invalid(f"the request's body has {unknown[0][:64]!r}: there are {', '.join(_KEYS)}")
    for name, kind, what in (
        ("args", list, "an array"),
        ("kwargs", dict, "an object"),
        ("parameters", dict, "an object"),
    ):
        if not isinstance(found.get(name, kind()), kind):
            raise invalid(f'"{name}" must be {what}')
    if "parameters" not in found:
        # As it came: written again, it would be in memory twice.
        return Arguments(body)
    parameters = found.pop("parameters")
    return Arguments(dump(found), dump({"kwargs": parameters}) if parameters else b"")


def _too_large(size: int, call_id: str) -> Problem:
    text = (
        f"the result has {size} bytes as JSON, of which at most {MAX_RESULT >> 20} MiB are sent: put it into a volume"
    )
    return Problem(500, "too_large", text, call_id=call_id)
