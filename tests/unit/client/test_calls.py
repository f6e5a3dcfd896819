"""remote, spawn, get, gather, generators: on a fake service."""

import asyncio
import errno
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wherry
from tests.fakes import service as fakes
from tests.fakes.service import FakeService
from wherry import App, Function, FunctionCall
from wherry._connection.blobs import Blobs
from wherry._connection.client import Client
from wherry.exception import (
    DeprecationError,
    ExecutionError,
    InvalidError,
    NotFoundError,
    ResourceExhaustedError,
    SerializationError,
)
from wherry_proto.messages import Format, Payload

Running = Callable[..., Any]


def add(a: int, b: int = 1) -> int:
    return a + b


def fail(x: int) -> int:
    raise KeyError("bad", x)


def count(n: int) -> Iterator[int]:
    yield from range(n)


def count_then_fail(n: int) -> Iterator[int]:
    yield from range(n)
    raise RuntimeError("after all")


def test_b01_remote_returns_value_and_acknowledges(service: FakeService, running: Running) -> None:
    assert running(add).remote(2, b=4) == 6
    service.wait_for(lambda: service.taken == service.executed)


def test_b02_local_needs_no_service() -> None:
    app = App("x")
    function = app.function()(add)
    assert function.local(2, 3) == 5
    with pytest.raises(ExecutionError, match=r"with app\.run\(\)"):
        function.remote(1)


def test_b02_function_unbound_after_run(client: Client, service: FakeService) -> None:
    app = App("x")
    function = app.function(serialized=True)(add)
    service.functions["add"] = add
    with app.run(client=client):
        assert function.remote(1) == 2
    with pytest.raises(ExecutionError):
        function.remote(1)


async def _both(function: Any) -> list[int]:
    return list(await asyncio.gather(function.remote.aio(1), function.remote.aio(2)))


def test_remote_aio(running: Running) -> None:
    assert asyncio.run(_both(running(add))) == [2, 3]


def test_remote_aio_cancelled_reaches_service(service: FakeService, running: Running) -> None:
    function = running(add)
    service.hold.clear()

    async def main() -> None:
        task = asyncio.ensure_future(function.remote.aio(1))
        await asyncio.to_thread(service.wait_for, lambda: len(service.offered) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    service.wait_for(lambda: len(service.cancelled) == 1)


def test_call_of_handle_names_remote_and_local() -> None:
    function = App("x").function()(add)
    with pytest.raises(InvalidError, match=r"add\.remote\(.*add\.local\("):
        function(1)


def test_call_is_deprecated(running: Running) -> None:
    function = running(add)
    with pytest.warns(DeprecationError, match="remote"):
        assert function.call(1) == 2


def test_b12_spawn_then_get_is_repeatable(running: Running) -> None:
    call = running(add).spawn(1)
    assert call.get() == 2
    assert call.get(timeout=0) == 2
    assert asyncio.run(call.get.aio(timeout=5)) == 2


def test_b12_get_times_out_with_builtin(service: FakeService, running: Running) -> None:
    call = running(add).spawn(1)
    output = service.kept.pop(call.object_id)
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError):
            call.get(timeout=timeout)
    service.kept[call.object_id] = output
    assert call.get(timeout=0) == 2


def test_b13_handles_pickle_and_from_id(client: Client, running: Running) -> None:
    call = running(add).spawn(1)
    again = pickle.loads(pickle.dumps(call))
    assert again == call
    assert FunctionCall.from_id(call.object_id, client=client).get() == 2


def test_get_of_unknown_call(client: Client) -> None:
    with pytest.raises(NotFoundError):
        FunctionCall.from_id("fc-" + "0" * 26, client=client).get()


@pytest.mark.parametrize("wrong", ["fu-" + "0" * 26, "fc-123", "", "fc-" + "I" * 26])
def test_from_id_refuses_other_ids(wrong: str) -> None:
    with pytest.raises(InvalidError, match="function call"):
        FunctionCall.from_id(wrong)


def test_b14_gather_in_order_and_raises(running: Running) -> None:
    function = running(add)
    assert wherry.gather(*(function.spawn(n) for n in range(3))) == [1, 2, 3]
    assert asyncio.run(wherry.gather.aio(function.spawn(1))) == [2]
    failing = running(fail)
    with pytest.raises(KeyError):
        wherry.gather(function.spawn(1), failing.spawn(1))


def test_b15_cancel_reaches_service(service: FakeService, running: Running) -> None:
    call = running(add).spawn(1)
    call.cancel()
    service.wait_for(lambda: service.cancelled == [call.object_id])


def test_b16_generator_sync_and_async(running: Running) -> None:
    function = running(count)
    assert list(function.remote_gen(3)) == [0, 1, 2]

    async def main() -> list[int]:
        return [value async for value in function.remote_gen.aio(3)]

    assert asyncio.run(main()) == [0, 1, 2]


def test_b16_early_close_cancels(service: FakeService, running: Running) -> None:
    values = running(count).remote_gen(1000)
    assert next(values) == 0
    values.close()
    service.wait_for(lambda: len(service.cancelled) == 1)
    assert list(values) == []


def test_generator_acknowledges_what_was_consumed(service: FakeService, running: Running) -> None:
    assert len(list(running(count).remote_gen(300))) == 300

    def acks() -> list[int]:
        return [row.index for message in service.messages for row in message.yields_taken]

    service.wait_for(lambda: acks() == [128, 256])


def test_b17_generator_gives_values_then_raises(running: Running) -> None:
    values = running(count_then_fail).remote_gen(2)
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(RuntimeError, match="after all"):
        next(values)
    assert list(values) == []


def test_b18_remote_and_remote_gen_are_not_mixed_up(running: Running) -> None:
    with pytest.raises(InvalidError, match="remote_gen"):
        running(count).remote(1)
    with pytest.raises(InvalidError, match="remote"):
        running(add).remote_gen(1)


def test_b20_outputs_delivered_twice_count_once(service: FakeService, running: Running) -> None:
    service.deliver_twice = True
    assert running(add).remote(1) == 2
    assert list(running(count).remote_gen(3)) == [0, 1, 2]


def test_b21_exception_keeps_type_and_args(running: Running) -> None:
    with pytest.raises(KeyError) as caught:
        running(fail).remote(7)
    assert caught.value.args == ("bad", 7)


def test_unpicklable_argument_is_named(running: Running) -> None:
    function = running(add)
    with pytest.raises(SerializationError, match=r"argument 'b' of add.*lock"):
        function.remote(1, b=threading.Lock())
    with pytest.raises(SerializationError, match="argument 1 of add"):
        function.remote(threading.Lock())


def test_b19_large_argument_handed_over_as_file(
    service: FakeService, client: Client, running: Running, tmp_path: Any
) -> None:
    service.handover_dir = str(tmp_path)
    function = running(_length)
    assert function.remote(b"x" * (3 << 20)) == 3 << 20
    assert list(function.map([b"y" * (2 << 20)])) == [2 << 20]
    # Many small ones that are large only together.
    assert function.remote([{"k": "v" * 100}] * 1 + [str(n) * 10 for n in range(50_000)]) == 50_001


def test_a_large_value_that_finds_no_room_is_told_in_words(service: FakeService, tmp_path: Any) -> None:
    def write(file: Any) -> None:
        file.write(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceExhaustedError, match="the disk of the service is full"):
        Blobs(service, tmp_path).put(write)
    assert list(tmp_path.iterdir()) == []


def test_b19_large_argument_sent_in_chunks(service: FakeService, running: Running) -> None:
    assert running(_length).remote(b"x" * (3 << 20)) == 3 << 20
    assert list(service.blobs)


def test_a_large_value_that_is_sent_again_while_it_is_read_is_acknowledged_when_it_was_read(
    service: FakeService, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a connection that broke: the service sends again what was not acknowledged."""
    function = running(bytes_or_number)
    made = fakes.payload
    monkeypatch.setattr(fakes, "payload", lambda value: blob if isinstance(value, bytes) else made(value))
    blob = Payload(format=Format.PICKLE, blob_id="bl-1", size=9)

    def break_and_send_again() -> None:
        (answer,) = service.answered(service.executed[-1])
        service.send(answer)
        reading = service.executed[-1]
        # What comes after it has arrived, and was acknowledged.
        assert function.remote(1) == 1
        service.wait_for(lambda: service.executed[-1] in service.taken)
        assert reading not in service.taken
        service.break_connection()
        service.wait_for(lambda: len(service.streams) == 2 and service.messages[-1].hello is not None)

    service.blobs["bl-1"] = pickle.dumps(b"large")
    service.before_blob = break_and_send_again
    assert function.remote(3) == b"large"
    service.wait_for(lambda: sorted(service.taken) == sorted(service.executed))
    assert len(service.offered) == 2, "what was answered is not offered again"


def bytes_or_number(n: int) -> bytes | int:
    return bytes(n) if n > 1 else n


def _length(value: Any) -> int:
    return len(value)


def test_lookup_and_from_name(client: Client, running: Running) -> None:
    running(add)
    assert Function.lookup("test", "add", client=client).remote(2) == 3
    with pytest.raises(NotFoundError):
        Function.lookup("test", "nope", client=client)
    found = Function.lookup("test", "add", client=client)
    with pytest.raises(ExecutionError, match="looked up"):
        found.local(1)
    assert found.get_current_stats().num_total_runners == 3


def test_b13_function_handle_travels_without_asking_the_service(service: FakeService, running: Running) -> None:
    function = running(add)
    service.requests.clear()
    there = pickle.loads(pickle.dumps(function))
    back = pickle.loads(pickle.dumps(there))
    assert back.object_id == function.object_id
    assert not service.requests


def test_keyword_named_self_is_possible(running: Running) -> None:
    def odd(self: int) -> int:
        return self

    assert running(odd).remote(self=3) == 3


def test_ephemeral_app_is_stopped_when_the_body_raises(service: FakeService, client: Client) -> None:
    app = App("x")
    app.function(serialized=True)(add)
    with pytest.raises(ValueError, match="body"), app.run(client=client):
        raise ValueError("body")
    assert [method for method, _ in service.requests][-1] == "Apps.Stop"


def test_app_run_async(service: FakeService, client: Client) -> None:
    app = App("x")
    function = app.function(serialized=True)(add)
    service.functions["add"] = add

    async def main() -> int:
        async with app.run(client=client):
            return await function.remote.aio(1)

    assert asyncio.run(main()) == 2


def test_image_that_can_not_be_built(service: FakeService, client: Client) -> None:
    service.image_error = "no such package: nope"
    app = App("x")
    app.function(serialized=True)(add)
    with pytest.raises(wherry.exception.ImageBuildError, match="nope"), app.run(client=client):
        pass
    assert [method for method, _ in service.requests][-1] == "Apps.Stop"


def test_arguments_for_all_inputs_are_a_dict(running: Running) -> None:
    for begin in (running(add).map, running(add).starmap, running(add).spawn_map):
        with pytest.raises(InvalidError, match=r"kwargs is \[3\]: it must be a dict of arguments"):
            begin([1], kwargs=[3])
