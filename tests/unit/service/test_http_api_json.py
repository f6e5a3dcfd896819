"""JSON as the HTTP API lets it in, and results on their way out."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from wherry_proto.messages import BlobChunk, Format, Payload
from wherry_service.http_api.bodies import MAX_BODIES, Refused, Room, read_body
from wherry_service.http_api.payloads import MAX_BODY, MAX_RESULT, Payloads
from wherry_service.http_api.problems import Problem
from wherry_service.http_api.strict_json import MAX_DEPTH, READ_HERE, READ_IN_THREAD, RawJson, Reader, dump, parse


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
        assert READ_HERE < len(text) <= READ_IN_THREAD
        found = await asyncio.gather(*(reader.make(text, parse) for _ in range(4)))
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
        (Payload(format=Format.JSON, blob_id="bl-1", size=MAX_RESULT + 1), "too_large"),
        # Its container says it is small.
        (Payload(format=Format.JSON, blob_id="bl-1", size=1), "too_large"),
    ],
)
def test_results_that_are_none_are_told(payload: Payload, code: str) -> None:
    async def main() -> None:
        with pytest.raises(Problem) as caught:
            await Payloads().get(Blobs(MAX_RESULT + 10), payload, "fc-1")
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
            await read_body(scope, receive, 0.01, Room().body())
        assert caught.value.status == 408

    asyncio.run(main())


def test_a_client_that_goes_away_with_its_body_is_refused() -> None:
    async def main() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        with pytest.raises(Refused):
            await read_body({"headers": []}, receive, 1, Room().body())

    asyncio.run(main())


def test_a_long_text_is_checked_apart_and_the_loop_goes_on() -> None:
    async def main() -> None:
        reader = Reader()
        checking = asyncio.ensure_future(reader.check(b"[" + b"[]," * (MAX_RESULT // 3 - 2) + b"[]]"))
        loop = asyncio.get_running_loop()
        longest, last = 0.0, loop.time()
        while not checking.done():
            await asyncio.wait([checking], timeout=0.01)
            longest, last = max(longest, loop.time() - last), loop.time()
        await checking
        # It took the process nearly a second.
        assert longest < 0.5
        for text, said in (
            (b'["' + b"x" * READ_IN_THREAD, "no JSON"),
            (b"[" * (READ_IN_THREAD + 1), "nested more than"),
            (b"\xff" * (READ_IN_THREAD + 1), "no UTF-8"),
        ):
            with pytest.raises(ValueError, match=said):
                await reader.check(text)

    asyncio.run(main())


def test_a_key_that_is_there_twice_is_found_in_one_pass() -> None:
    names = ",".join(f'"{i}":0' for i in range(100_000))
    with pytest.raises(ValueError, match="'99999' twice"):
        parse(f'{{{names},"99999":1}}'.encode())


def test_no_garbage_is_looked_for_while_a_text_is_read() -> None:
    passes: list[str] = []

    def heard(phase: str, info: dict[str, int]) -> None:
        passes.append(phase)

    gc.callbacks.append(heard)
    try:
        parse(b"[" + b"[]," * 100_000 + b"[]]")
        assert len(passes) < 20
    finally:
        gc.callbacks.remove(heard)
    assert gc.isenabled()
    with pytest.raises(ValueError, match="no JSON"):
        parse(b"[")
    assert gc.isenabled()


def test_arguments_are_passed_on_as_they_came() -> None:
    async def main() -> None:
        payloads = Payloads()
        assert await payloads.arguments(b' {"args": [1.0]}') == (b' {"args": [1.0]}', None)
        assert await payloads.arguments(b"") == (b"{}", None)
        found = await payloads.arguments(b'{"kwargs": {"a": 1}, "parameters": {"b": 2}}')
        assert found == (b'{"kwargs":{"a":1}}', b'{"kwargs":{"b":2}}')
        assert await payloads.arguments(b'{"parameters": {}}') == (b"{}", b"")

    asyncio.run(main())


def test_the_bodies_of_all_requests_have_room_together() -> None:
    room = Room()
    bodies = [room.body() for _ in range(MAX_BODIES // MAX_BODY)]
    for body in bodies:
        body.add(b"x" * MAX_BODY)
    late = room.body()
    with pytest.raises(Problem) as caught:
        late.add(b"x")
    assert (caught.value.status, caught.value.error["code"]) == (503, "busy")
    bodies[0].drop()
    bodies[0].drop()
    late.add(b"x")
    for body in (*bodies, late):
        body.drop()
    assert room.taken == 0
    with pytest.raises(Problem) as caught:
        late.add(b"x" * (MAX_BODY + 1))
    assert caught.value.status == 413
    assert room.taken == 0
