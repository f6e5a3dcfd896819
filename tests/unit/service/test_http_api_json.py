"""JSON as the HTTP API lets it in, and results on their way out."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from wherry_proto.messages import BlobChunk, Format, Payload
from wherry_service.http_api.bodies import Refused, read_body
from wherry_service.http_api.payloads import MAX_BODY, Payloads
from wherry_service.http_api.problems import Problem
from wherry_service.http_api.strict_json import MAX_DEPTH, RawJson, Reader, dump, parse


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"a": ["\\"[[[", "\\\\", "]"]}',
        json.dumps(["[" * 1000, {"}": "{"}]),
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        "[" + ",".join(["[]"] * 1000) + "]",
        "[" + ",".join(['{"a\\\\": "\\\\\\"["}'] * 300) + "]",
    ],
)
def test_what_json_says_is_read(text: str) -> None:
    assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested more than"),
        (b'{"a":' * 5000, "nested more than"),
        (b'["' + b"\\" * 999 + b"[" * 5000, ""),
        (b"\xed\xa0\x80", "no UTF-8"),
        (b"[1e999, Infinity]", "Infinity"),
        (b'{"\\u0061": 1, "a": 2}', "'a' twice"),
        (b"", "no JSON"),
    ],
)
def test_what_is_not_json_is_told(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said or None):
        parse(data)


def test_long_texts_are_read_in_a_thread_one_at_a_time() -> None:
    async def main() -> None:
        reader = Reader()
        text = json.dumps(["x" * 1000] * 1000).encode()
        found = await asyncio.gather(*(reader.read(text) for _ in range(4)))
        assert all(len(one) == 1000 for one in found)

    asyncio.run(main())


def test_what_is_json_already_goes_in_as_it_is() -> None:
    assert dump({"a": RawJson(b"[1, 2]"), "b": "\ud800\u00e9"}) == b'{"a":[1, 2],"b":"?\xc3\xa9"}'
    assert dump(RawJson(b" 1 ")) == b" 1 "
    assert dump([1, {"a": None}]) == b'[1,{"a":null}]'


class Blobs:
    """A caller whose blobs hold so much."""

    def __init__(self, size: int) -> None:
        self.size = size

    def handler(self, name: str) -> Any:
        async def read(request: Any) -> AsyncIterator[BlobChunk]:
            yield BlobChunk(data=b'"' + b"x" * (self.size - 2) + b'"')

        return read


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (Payload(format=Format.PICKLE, data=b"\x80\x05N."), "not_json"),
        (Payload(format=Format.WEB, data=b"x"), "not_json"),
        (Payload(format=Format.JSON, data=b'1}, "call_id": "x"'), "malformed"),
        (Payload(format=Format.JSON, data=b"NaN"), "malformed"),
        (Payload(format=Format.JSON, data=b"\xff"), "malformed"),
        (Payload(format=Format.JSON, blob_id="bl-1", size=MAX_BODY + 1), "too_large"),
        # Its container says it is small.
        (Payload(format=Format.JSON, blob_id="bl-1", size=1), "too_large"),
    ],
)
def test_results_that_are_none_are_told(payload: Payload, code: str) -> None:
    async def main() -> None:
        with pytest.raises(Problem) as caught:
            await Payloads().get(Blobs(MAX_BODY + 10), payload, "fc-1")
        assert caught.value.error["code"] == code

    asyncio.run(main())


def test_results_are_passed_on_as_they_were_written() -> None:
    async def main() -> None:
        payloads = Payloads()
        assert await payloads.get(Blobs(100), Payload(format=Format.JSON, data=b'{"a": 1}'), "fc-1") == b'{"a": 1}'
        assert await payloads.get(Blobs(100), None, "fc-1") == b"null"
        assert len(await payloads.get(Blobs(3 << 20), Payload(format=Format.JSON, blob_id="bl-1"), "fc-1")) == 3 << 20

    asyncio.run(main())


def test_a_body_that_stops_coming_is_given_up() -> None:
    async def main() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            return {}

        scope = {"headers": [(b"content-length", b"10")]}
        with pytest.raises(Problem) as caught:
            await read_body(scope, receive, 0.01)
        assert caught.value.status == 408

    asyncio.run(main())


def test_a_client_that_goes_away_with_its_body_is_refused() -> None:
    async def main() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        with pytest.raises(Refused):
            await read_body({"headers": []}, receive, 1)

    asyncio.run(main())
