from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_UNSPECIFIED: _ClassVar[Stream]
    STREAM_STDOUT: _ClassVar[Stream]
    STREAM_STDERR: _ClassVar[Stream]
STREAM_UNSPECIFIED: Stream
STREAM_STDOUT: Stream
STREAM_STDERR: Stream

class LogLine(_message.Message):
    __slots__ = ("app_id", "function_id", "container_id", "input_id", "stream", "text", "at_ms")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    function_id: str
    container_id: str
    input_id: str
    stream: Stream
    text: str
    at_ms: int
    def __init__(self, app_id: _Optional[str] = ..., function_id: _Optional[str] = ..., container_id: _Optional[str] = ..., input_id: _Optional[str] = ..., stream: _Optional[_Union[Stream, str]] = ..., text: _Optional[str] = ..., at_ms: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("app_id", "function_id", "text", "warning")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    function_id: str
    text: str
    warning: bool
    def __init__(self, app_id: _Optional[str] = ..., function_id: _Optional[str] = ..., text: _Optional[str] = ..., warning: _Optional[bool] = ...) -> None: ...
