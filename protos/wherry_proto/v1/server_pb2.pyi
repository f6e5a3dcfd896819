from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerInfoRequest(_message.Message):
    __slots__ = ("with_engine",)
    WITH_ENGINE_FIELD_NUMBER: _ClassVar[int]
    with_engine: bool
    def __init__(self, with_engine: _Optional[bool] = ...) -> None: ...

class EngineInfo(_message.Message):
    __slots__ = ("reachable", "version", "error")
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    reachable: bool
    version: str
    error: str
    def __init__(self, reachable: _Optional[bool] = ..., version: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("version", "protocol", "instance_id", "pid", "started_at_ms", "state_dir", "handover_dir", "engine", "num_apps", "num_containers")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_DIR_FIELD_NUMBER: _ClassVar[int]
    HANDOVER_DIR_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    NUM_APPS_FIELD_NUMBER: _ClassVar[int]
    NUM_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    version: str
    protocol: int
    instance_id: str
    pid: int
    started_at_ms: int
    state_dir: str
    handover_dir: str
    engine: EngineInfo
    num_apps: int
    num_containers: int
    def __init__(self, version: _Optional[str] = ..., protocol: _Optional[int] = ..., instance_id: _Optional[str] = ..., pid: _Optional[int] = ..., started_at_ms: _Optional[int] = ..., state_dir: _Optional[str] = ..., handover_dir: _Optional[str] = ..., engine: _Optional[_Union[EngineInfo, _Mapping]] = ..., num_apps: _Optional[int] = ..., num_containers: _Optional[int] = ...) -> None: ...

class ServerStopRequest(_message.Message):
    __slots__ = ("force",)
    FORCE_FIELD_NUMBER: _ClassVar[int]
    force: bool
    def __init__(self, force: _Optional[bool] = ...) -> None: ...

class ServerStopResponse(_message.Message):
    __slots__ = ("num_containers_stopped",)
    NUM_CONTAINERS_STOPPED_FIELD_NUMBER: _ClassVar[int]
    num_containers_stopped: int
    def __init__(self, num_containers_stopped: _Optional[int] = ...) -> None: ...
