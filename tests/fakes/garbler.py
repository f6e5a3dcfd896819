"""A service that answers some calls rightly and garbles what it says of others, as frames and as gRPC."""

import json
import pickle
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from wherry_proto import codec, rows
from wherry_proto.messages import (
    CallKind,
    CallState,
    Failure,
    FailureKind,
    Format,
    Input,
    LogLine,
    Notice,
    Output,
    Payload,
    ServerInfo,
    SessionDown,
    SessionUp,
    Welcome,
    Yield,
)

_LENGTHS = struct.Struct(">II")
_WELCOME = SessionDown(welcome=Welcome(protocol=1, version="0", instance_id="x", inline_limit=1 << 20))
# Calls of these functions: one is answered rightly, the other's answers are garbled first.
GOOD, GARBLED = "fu-good", "fu-garbled"


def payload(value: Any) -> Payload:
    data = pickle.dumps(value)
    return Payload(format=Format.PICKLE, data=data, size=len(data))


class Words:
    """Makes messages that no service would send, of the right and of wrong words, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def message(self, item: Input) -> SessionDown:
        """Return something about an input that makes no sense, or is of no use."""
        pick = self.random.choice
        message = SessionDown()
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.randrange(8)
            if kind <= 1:
                message.outputs.append(self._output(item))
            elif kind <= 3:
                message.yields.append(
                    Yield(
                        input_id=self._id(item.input_id),
                        call_id=self._id(item.call_id),
                        index=self._number(),
                        payload=self._payload(),
                        input_index=self._number(),
                    )
                )
            elif kind == 4:
                message.states.append(
                    CallState(call_id=self._id(item.call_id), known=pick([True, False]), num_inputs=self._number())
                )
            elif kind == 5:
                message.accepted.append(self._id(item.input_id))
            elif kind == 6:
                message.logs.append(LogLine(text=pick(["", "x" * 9000, "\x1b[2J", "\0"]), stream=self._number()))
            else:
                message.notices.append(Notice(text="n", function_id=self._id(item.call_id)))
        return message

    def _output(self, item: Input) -> Output:
        pick = self.random.choice
        output = Output(
            input_id=self._id(item.input_id),
            call_id=self._id(item.call_id),
            index=pick([0, 0, self._number()]),
            num_yields=pick([0, 0, self._number()]),
        )
        if pick([True, False]):
            output.payload = self._payload()
        if pick([True, False, False]):
            output.failure = Failure(
                kind=pick([0, FailureKind.EXCEPTION, FailureKind.EXHAUSTED, FailureKind.EXPIRED, 99]),
                message=pick(["", "m" * 70_000]),
                type_name=pick(["", "builtins.ValueError"]),
                exception=self._payload(),
            )
        return output

    def _id(self, own: str) -> str:
        return self.random.choice([own, own, own, "", "x", "in-" + "0" * 26, "in-" * 3000])

    def _number(self) -> int:
        return self.random.choice([0, 1, 2, 7, 1000, (1 << 31) - 1])

    def _payload(self) -> Payload | None:
        pick = self.random.choice
        if pick([True, False, False]):
            return None
        traced = (ValueError("v"), pick([None, 7, {"tb_frame": 3}, {"tb_next": {}}, _looped()]))
        data = pick([b"", b"\x80", b"nonsense.", pickle.dumps(1), pickle.dumps((1, 2)), pickle.dumps(traced)])
        return Payload(
            format=pick([0, 1, 1, 10, 77]), data=data, blob_id=pick(["", "", "", "bl-none"]), size=self._number()
        )

    def bytes(self, message: bytes) -> bytes:
        """Return bytes of a message that were changed on the way."""
        data = bytearray(message)
        kind = self.random.randrange(5)
        if kind == 0:
            return self.random.randbytes(self.random.randrange(1, 64))
        if kind == 1:
            return bytes(data[: self.random.randrange(len(data))]) + b"\xff"
        for _ in range(self.random.randrange(1, 6)):
            data[self.random.randrange(len(data))] = self.random.randrange(256)
        return bytes(data)

    def frame(self, message: SessionDown) -> bytes:
        """Return a frame that is none, or whose row is none."""
        parts: list[bytes] = []
        row = rows.to_row(message, parts)
        pick = self.random.choice
        kind = self.random.randrange(8)
        if kind == 0:
            return _pack(b"[" * pick([3, 100_000]))
        if kind == 1:
            return _pack(self.bytes(json.dumps(["item", row]).encode()), b"".join(parts))
        if kind == 2:
            return struct.pack(">II", pick([2, 0xFFFFFFFF]), 0xFFFFFFFF) + b"{}"
        if kind == 3:
            return _pack(
                json.dumps(pick([{}, [], 7, None, ["item"], ["error"], ["error", [], {}], ["x", row]])).encode()
            )
        if kind == 4:
            return _pack(json.dumps(["item", row]).encode(), b"".join(parts)[1:] + b"")
        if kind == 5:
            return _pack(b'["item",[' + b"9" * pick([400, 5000]) + b"]]")
        return _pack(json.dumps(["item", self._garbled(row)]).encode(), b"".join(parts))

    def _garbled(self, row: Any) -> Any:
        """Replace something somewhere in a row."""
        if not isinstance(row, list) or not row or self.random.randrange(4) == 0:
            return self.random.choice([None, -1, 1 << 70, 1.5, "\ud800", [], {}, [[]] * 9, True])
        where = self.random.randrange(len(row))
        return [self._garbled(item) if index == where else item for index, item in enumerate(row)]


def _looped() -> dict[str, Any]:
    frame: dict[str, Any] = {"tb_frame": {"f_code": {"co_filename": "f"}}}
    frame["tb_next"] = frame
    return frame


def _pack(head: bytes, body: bytes = b"") -> bytes:
    return _LENGTHS.pack(len(head), len(body)) + head + body


def framed(message: Any) -> bytes:
    """Return the frame of a message, as the service writes it."""
    parts: list[bytes] = []
    row = rows.to_row(message, parts)
    return _pack(json.dumps(["item", row]).encode(), b"".join(parts))


class Garbler:
    """What such a service says: `broken` makes of a message bytes that are none, `whole` those that it is."""

    def __init__(self, words: Words, whole: Callable[[Any], bytes], broken: Callable[[SessionDown], bytes]) -> None:
        self.words = words
        self.num_garbled = 0
        self._whole = whole
        self._broken = broken
        self._functions: dict[str, tuple[str, int]] = {}
        # Calls of which something was garbled already: offered again, they are answered.
        self._done: set[str] = set()

    def answers(self, message: SessionUp) -> Iterator[bytes]:
        """Answer what a client says."""
        if message.hello is not None:
            yield self._whole(_WELCOME)
        for start in message.calls:
            self._functions[start.call_id] = (start.function_id, start.kind)
        for item in message.inputs:
            function_id, kind = self._functions[item.call_id]
            if function_id == GARBLED and item.call_id not in self._done:
                self._done.add(item.call_id)
                self.num_garbled += 1
                said = self.words.message(item)
                yield self._broken(said) if self.words.random.randrange(3) == 0 else self._whole(said)
            yield self._whole(_answer(item, kind))
        for watch in message.watches:
            item = Input(input_id="in-" + "0" * 26, call_id=watch.call_id)
            self.num_garbled += 1
            said = self.words.message(item)
            for state in said.states:
                state.num_inputs = 1
            yield self._whole(said)
            yield self._whole(_answer(item, CallKind.REMOTE))
            yield self._whole(SessionDown(states=[CallState(call_id=watch.call_id, known=True, num_inputs=1)]))


def _answer(item: Input, kind: int) -> SessionDown:
    output = Output(input_id=item.input_id, call_id=item.call_id, index=item.index, payload=payload(item.index))
    if kind == CallKind.SPAWN:
        return SessionDown(accepted=[item.input_id])
    if kind == CallKind.GENERATOR:
        value = Yield(input_id=item.input_id, call_id=item.call_id, payload=payload(0))
        output.num_yields = 1
        return SessionDown(yields=[value], outputs=[output])
    return SessionDown(outputs=[output])


class FramesGarbler:
    """Listens at `path` until it is closed."""

    def __init__(self, path: Path, seed: int) -> None:
        words = Words(seed)
        self.garbler = Garbler(words, framed, words.frame)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            try:
                while lengths := file.read(_LENGTHS.size):
                    head_length, body_length = _LENGTHS.unpack(lengths)
                    header, body = json.loads(file.read(head_length)), file.read(body_length)
                    if header[0] == "call" and header[1] != "Calls.Session":
                        connection.sendall(self._unary(header[1]))
                        return
                    if header[0] == "end":
                        return
                    for answer in self.garbler.answers(rows.from_row(SessionUp, header[-1], body)):
                        connection.sendall(answer)
            except (OSError, struct.error):
                return  # the client has had enough of it

    def _unary(self, method: str) -> bytes:
        if method == "Server.Info":
            return framed(ServerInfo()) + _pack(b'["end"]')
        return _pack(b'["error","NOT_FOUND","no such blob"]')


class GrpcGarbler:
    """Listens on a unix socket at `path` until it is closed."""

    def __init__(self, path: Path, seed: int) -> None:
        words = Words(seed)
        self.garbler = Garbler(words, codec.serialize, lambda message: words.bytes(codec.serialize(message)))
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        garbler = self.garbler

        def session(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
            for request in requests:
                yield from garbler.answers(codec.deserialize(SessionUp, request))

        class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]
            def service(self, details: Any) -> Any:
                if details.method.endswith("/Session"):
                    return grpc.stream_stream_rpc_method_handler(session)
                if details.method.endswith("/Info"):
                    return grpc.unary_unary_rpc_method_handler(lambda *_: codec.serialize(ServerInfo()))
                return None

        self._server.add_generic_rpc_handlers((_Handlers(),))
        self._server.add_insecure_port(f"unix:{path}")
        self._server.start()

    def close(self) -> None:
        self._server.stop(0).wait()
