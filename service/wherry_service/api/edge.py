"""The gRPC edge: methods by name, messages in and out, errors as status codes."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from wherry_proto import codec, messages, services
from wherry_service.api.rpc import Handler
from wherry_service.api.statuses import status_of
from wherry_service.errors import InvalidRequest

MESSAGE_LIMIT = 64 << 20


class Unreadable:
    """Stands for bytes that are no message of a request's kind."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted


class Gate(Protocol):
    """Says who may call what (see access.py)."""

    def guard(self, name: str, handler: Any, metadata: Mapping[str, str], peer: str) -> Any:
        """Return the handler for one request of this peer; it raises where the peer may not ask."""

    def knows(self, metadata: Mapping[str, str]) -> bool:
        """Whether these prove who asks, so that what is asked may be read."""


def generic_handlers(handlers: dict[str, Handler], gate: Gate | None = None) -> "grpc.GenericRpcHandler[Any, Any]":
    """Return what serves these handlers, named as in `services.METHODS`, for example "Apps.Open".

    A handler takes a message, or an async iterator of messages where the client streams, and returns a
    message, or is an async generator of messages where the service streams. Without a gate everyone may do all.
    """
    served = {services.METHODS[name].path: _method(name, handler, gate) for name, handler in handlers.items()}
    unread = {services.METHODS[name].path: _unread(name, handler, gate) for name, handler in handlers.items() if gate}

    class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # not generic at run time
        """Finds what serves a method by its path."""

        def service(self, call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
            # Of strangers not even a request is read, which may have 64 MiB.
            is_known = gate is None or gate.knows(_texts(call_details.invocation_metadata))
            return (served if is_known else unread).get(call_details.method)

    return _Handlers()


def _method(name: str, handler: Handler, gate: Gate | None) -> "grpc.RpcMethodHandler[Any, Any]":
    method = services.METHODS[name]
    request_class = getattr(messages, method.request)

    def deserialize(data: bytes) -> Any:
        try:
            return codec.deserialize(request_class, data)
        except DecodeError:
            # Raised from here the call would end as UNKNOWN, and with a stack in the log.
            return Unreadable(method.request)

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_stream, method.server_stream]
    wrapped = _streaming(name, handler, gate) if method.server_stream else _unary(name, handler, gate)
    return make(wrapped, request_deserializer=deserialize, response_serializer=codec.serialize)


def _unread(name: str, handler: Handler, gate: Gate) -> "grpc.RpcMethodHandler[Any, Any]":
    """Return what refuses a request without reading it, in the gate's words."""
    request = getattr(messages, services.METHODS[name].request)()

    async def refuse(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if gate.knows(_texts(context.invocation_metadata())):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this token has become valid: ask again")
        try:
            guarded = _guarded(name, handler, gate, context)
            await (anext(guarded(request)) if services.METHODS[name].server_stream else guarded(request))
        except Exception as error:  # noqa: BLE001 - as in `_unary`
            await _abort(name, error, context)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this token is not valid here")

    return grpc.stream_unary_rpc_method_handler(refuse)


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def _unary(name: str, handler: Any, gate: Gate | None) -> Any:
    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await _guarded(name, handler, gate, context)(_readable(request))
        except Exception as error:  # noqa: BLE001 - every error becomes a status; what is not ours is logged with its stack
            await _abort(name, error, context)

    return serve


def _streaming(name: str, handler: Any, gate: Gate | None) -> Any:
    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for message in _guarded(name, handler, gate, context)(_readable(request)):
                yield message
        except Exception as error:  # noqa: BLE001 - as above
            await _abort(name, error, context)

    return serve


def _readable(request: Any) -> Any:
    """Return the request, or the stream of them; raise `InvalidRequest` for what can't be read."""
    if isinstance(request, Unreadable):
        raise InvalidRequest(f"what came is no {request.wanted}: its bytes can't be read")
    if hasattr(request, "__aiter__"):
        return _all_readable(request)
    return request


async def _all_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


def _guarded(name: str, handler: Any, gate: Gate | None, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
    if gate is None:
        return handler
    return gate.guard(name, handler, _texts(context.invocation_metadata()), context.peer())


async def _abort(name: str, error: Exception, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    status, text = status_of(name, error)
    await context.abort(grpc.StatusCode[status], text)
