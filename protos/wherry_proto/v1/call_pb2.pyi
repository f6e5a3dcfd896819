from wherry_proto.v1 import payload_pb2 as _payload_pb2
from wherry_proto.v1 import log_pb2 as _log_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_KIND_UNSPECIFIED: _ClassVar[CallKind]
    CALL_KIND_REMOTE: _ClassVar[CallKind]
    CALL_KIND_MAP: _ClassVar[CallKind]
    CALL_KIND_GENERATOR: _ClassVar[CallKind]
    CALL_KIND_SPAWN: _ClassVar[CallKind]
CALL_KIND_UNSPECIFIED: CallKind
CALL_KIND_REMOTE: CallKind
CALL_KIND_MAP: CallKind
CALL_KIND_GENERATOR: CallKind
CALL_KIND_SPAWN: CallKind

class Hello(_message.Message):
    __slots__ = ("client_id", "protocol", "version", "python")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    protocol: int
    version: str
    python: str
    def __init__(self, client_id: _Optional[str] = ..., protocol: _Optional[int] = ..., version: _Optional[str] = ..., python: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol", "version", "instance_id", "inline_limit")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    INLINE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    version: str
    instance_id: str
    inline_limit: int
    def __init__(self, protocol: _Optional[int] = ..., version: _Optional[str] = ..., instance_id: _Optional[str] = ..., inline_limit: _Optional[int] = ...) -> None: ...

class CallStart(_message.Message):
    __slots__ = ("call_id", "function_id", "kind", "parent_input_id")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARENT_INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    function_id: str
    kind: CallKind
    parent_input_id: str
    def __init__(self, call_id: _Optional[str] = ..., function_id: _Optional[str] = ..., kind: _Optional[_Union[CallKind, str]] = ..., parent_input_id: _Optional[str] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("input_id", "call_id", "index", "payload")
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    call_id: str
    index: int
    payload: _payload_pb2.Payload
    def __init__(self, input_id: _Optional[str] = ..., call_id: _Optional[str] = ..., index: _Optional[int] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class InputsEnd(_message.Message):
    __slots__ = ("call_id", "num_inputs")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_INPUTS_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    num_inputs: int
    def __init__(self, call_id: _Optional[str] = ..., num_inputs: _Optional[int] = ...) -> None: ...

class CallCancel(_message.Message):
    __slots__ = ("call_id", "terminate_containers")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TERMINATE_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    terminate_containers: bool
    def __init__(self, call_id: _Optional[str] = ..., terminate_containers: _Optional[bool] = ...) -> None: ...

class CallWatch(_message.Message):
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    def __init__(self, call_id: _Optional[str] = ...) -> None: ...

class YieldsTaken(_message.Message):
    __slots__ = ("input_id", "index")
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    index: int
    def __init__(self, input_id: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class SessionUp(_message.Message):
    __slots__ = ("hello", "calls", "inputs", "ends", "taken", "cancels", "watches", "yields_taken")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    WATCHES_FIELD_NUMBER: _ClassVar[int]
    YIELDS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    calls: _containers.RepeatedCompositeFieldContainer[CallStart]
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    ends: _containers.RepeatedCompositeFieldContainer[InputsEnd]
    taken: _containers.RepeatedScalarFieldContainer[str]
    cancels: _containers.RepeatedCompositeFieldContainer[CallCancel]
    watches: _containers.RepeatedCompositeFieldContainer[CallWatch]
    yields_taken: _containers.RepeatedCompositeFieldContainer[YieldsTaken]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[CallStart, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., ends: _Optional[_Iterable[_Union[InputsEnd, _Mapping]]] = ..., taken: _Optional[_Iterable[str]] = ..., cancels: _Optional[_Iterable[_Union[CallCancel, _Mapping]]] = ..., watches: _Optional[_Iterable[_Union[CallWatch, _Mapping]]] = ..., yields_taken: _Optional[_Iterable[_Union[YieldsTaken, _Mapping]]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("input_id", "call_id", "index", "payload", "failure", "num_yields")
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    NUM_YIELDS_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    call_id: str
    index: int
    payload: _payload_pb2.Payload
    failure: _payload_pb2.Failure
    num_yields: int
    def __init__(self, input_id: _Optional[str] = ..., call_id: _Optional[str] = ..., index: _Optional[int] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., failure: _Optional[_Union[_payload_pb2.Failure, _Mapping]] = ..., num_yields: _Optional[int] = ...) -> None: ...

class Yield(_message.Message):
    __slots__ = ("input_id", "call_id", "index", "payload", "input_index")
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    INPUT_INDEX_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    call_id: str
    index: int
    payload: _payload_pb2.Payload
    input_index: int
    def __init__(self, input_id: _Optional[str] = ..., call_id: _Optional[str] = ..., index: _Optional[int] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., input_index: _Optional[int] = ...) -> None: ...

class CallState(_message.Message):
    __slots__ = ("call_id", "known", "expired", "num_inputs", "num_done", "function_id", "is_generator")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    NUM_INPUTS_FIELD_NUMBER: _ClassVar[int]
    NUM_DONE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    IS_GENERATOR_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    known: bool
    expired: bool
    num_inputs: int
    num_done: int
    function_id: str
    is_generator: bool
    def __init__(self, call_id: _Optional[str] = ..., known: _Optional[bool] = ..., expired: _Optional[bool] = ..., num_inputs: _Optional[int] = ..., num_done: _Optional[int] = ..., function_id: _Optional[str] = ..., is_generator: _Optional[bool] = ...) -> None: ...

class SessionDown(_message.Message):
    __slots__ = ("welcome", "accepted", "outputs", "yields", "logs", "states", "notices")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    YIELDS_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    accepted: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    yields: _containers.RepeatedCompositeFieldContainer[Yield]
    logs: _containers.RepeatedCompositeFieldContainer[_log_pb2.LogLine]
    states: _containers.RepeatedCompositeFieldContainer[CallState]
    notices: _containers.RepeatedCompositeFieldContainer[_log_pb2.Notice]
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., accepted: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., yields: _Optional[_Iterable[_Union[Yield, _Mapping]]] = ..., logs: _Optional[_Iterable[_Union[_log_pb2.LogLine, _Mapping]]] = ..., states: _Optional[_Iterable[_Union[CallState, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[_log_pb2.Notice, _Mapping]]] = ...) -> None: ...
