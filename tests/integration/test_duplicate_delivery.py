"""A service that says everything twice."""

import pickle
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from wherry._calling.caller import Caller, generator_results, map_results
from wherry._connection.client import Client
from wherry._connection.transport.grpc import GrpcTransport
from wherry_proto import codec
from wherry_proto.messages import (
    Format,
    FunctionInfo,
    Output,
    Payload,
    ServerInfo,
    SessionDown,
    SessionUp,
    Welcome,
    Yield,
)
from wherry_proto.services import METHODS


def payload(value: object) -> Payload:
    data = pickle.dumps(value)
    return Payload(format=Format.PICKLE, data=data, size=len(data))


class Stammerer:
    """Answers each input at once: with twice its argument, or with two values; and each answer three times."""

    def __init__(self, handover_dir: Path) -> None:
        self._handover_dir = handover_dir
        self.generates = False

    def info(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return codec.serialize(ServerInfo(handover_dir=str(self._handover_dir), protocol=1))

    def session(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        answers: queue.SimpleQueue[SessionDown | None] = queue.SimpleQueue()
        answers.put(SessionDown(welcome=Welcome(protocol=1, inline_limit=1 << 20)))
        reader = threading.Thread(target=self._read, args=(requests, answers), daemon=True)
        reader.start()
        while (answer := answers.get()) is not None:
            yield codec.serialize(answer)

    def _read(self, requests: Iterator[bytes], answers: "queue.SimpleQueue[SessionDown | None]") -> None:
        try:
            for request in requests:
                answer = self._answer(codec.deserialize(SessionUp, request))
                if answer.outputs:
                    answers.put(answer)
                    answers.put(answer)
        except grpc.RpcError:
            pass  # the client has gone
        answers.put(None)

    def _answer(self, message: SessionUp) -> SessionDown:
        answer = SessionDown()
        for item in message.inputs:
            assert item.payload is not None
            (argument,), _ = pickle.loads(item.payload.data)
            ids = {"input_id": item.input_id, "call_id": item.call_id}
            if self.generates:
                values = [Yield(**ids, index=i, payload=payload((argument, i))) for i in range(2)]
                answer.yields += [*values, *values]
                answer.outputs.append(Output(**ids, index=item.index, num_yields=2))
            else:
                answer.outputs += [Output(**ids, index=item.index, payload=payload(2 * argument))] * 2
        return answer


@pytest.fixture
def stammerer(tmp_path: Path) -> Stammerer:
    return Stammerer(tmp_path)


@pytest.fixture
def caller(stammerer: Stammerer, tmp_path: Path) -> Iterator[Caller]:
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        handlers = {
            "Info": grpc.unary_unary_rpc_method_handler(stammerer.info),
            "Session": grpc.stream_stream_rpc_method_handler(stammerer.session),
        }
        for service in ("Server", "Calls"):
            name = METHODS["Server.Info" if service == "Server" else "Calls.Session"].path.split("/")[1]
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        server.add_insecure_port(f"unix:{tmp_path}/s")
        server.start()
        client = Client(GrpcTransport(f"unix:{tmp_path}/s"), "main")
        yield Caller(client, FunctionInfo(function_id="fu-1", name="f"))
        client.close()
        server.stop(None).wait(10)


@pytest.mark.parametrize("ordered", [True, False])
def test_b20_a_map_gives_each_result_once(caller: Caller, ordered: bool) -> None:
    results = map_results(
        "f.map",
        lambda: caller,
        (range(1000),),
        {},
        spread=False,
        generator=False,
        ordered=ordered,
        return_exceptions=False,
        wrap_exceptions=True,
    )
    values = list(results)
    assert sorted(values) == [2 * x for x in range(1000)]
    assert not ordered or values == sorted(values)


def test_b20_calls_of_one_input_take_the_first_answer(caller: Caller) -> None:
    assert [caller.remote((x,), {}) for x in range(50)] == [2 * x for x in range(50)]


def test_b20_a_generator_gives_each_value_once(stammerer: Stammerer, caller: Caller) -> None:
    stammerer.generates = True
    assert list(generator_results("f", lambda: caller, ("x",), {})) == [("x", 0), ("x", 1)]
