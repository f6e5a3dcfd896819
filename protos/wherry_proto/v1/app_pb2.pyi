from wherry_proto.v1 import function_pb2 as _function_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AppState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APP_STATE_UNSPECIFIED: _ClassVar[AppState]
    APP_STATE_EPHEMERAL: _ClassVar[AppState]
    APP_STATE_DETACHED: _ClassVar[AppState]
    APP_STATE_DEPLOYED: _ClassVar[AppState]
    APP_STATE_STOPPED: _ClassVar[AppState]
APP_STATE_UNSPECIFIED: AppState
APP_STATE_EPHEMERAL: AppState
APP_STATE_DETACHED: AppState
APP_STATE_DEPLOYED: AppState
APP_STATE_STOPPED: AppState

class AppOpenRequest(_message.Message):
    __slots__ = ("name", "environment", "client_id", "detach")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    name: str
    environment: str
    client_id: str
    detach: bool
    def __init__(self, name: _Optional[str] = ..., environment: _Optional[str] = ..., client_id: _Optional[str] = ..., detach: _Optional[bool] = ...) -> None: ...

class AppInfo(_message.Message):
    __slots__ = ("app_id", "name", "environment", "state", "created_at_ms", "stopped_at_ms", "num_containers")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    STOPPED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NUM_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    name: str
    environment: str
    state: AppState
    created_at_ms: int
    stopped_at_ms: int
    num_containers: int
    def __init__(self, app_id: _Optional[str] = ..., name: _Optional[str] = ..., environment: _Optional[str] = ..., state: _Optional[_Union[AppState, str]] = ..., created_at_ms: _Optional[int] = ..., stopped_at_ms: _Optional[int] = ..., num_containers: _Optional[int] = ...) -> None: ...

class AppPublishRequest(_message.Message):
    __slots__ = ("app_id", "functions", "deploy")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    functions: _containers.RepeatedCompositeFieldContainer[_function_pb2.FunctionSpec]
    deploy: bool
    def __init__(self, app_id: _Optional[str] = ..., functions: _Optional[_Iterable[_Union[_function_pb2.FunctionSpec, _Mapping]]] = ..., deploy: _Optional[bool] = ...) -> None: ...

class AppPublishResponse(_message.Message):
    __slots__ = ("functions",)
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    functions: _containers.RepeatedCompositeFieldContainer[_function_pb2.FunctionInfo]
    def __init__(self, functions: _Optional[_Iterable[_Union[_function_pb2.FunctionInfo, _Mapping]]] = ...) -> None: ...

class AppStopRequest(_message.Message):
    __slots__ = ("app_id",)
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    def __init__(self, app_id: _Optional[str] = ...) -> None: ...

class AppStopResponse(_message.Message):
    __slots__ = ("num_containers_stopped", "left_over")
    NUM_CONTAINERS_STOPPED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OVER_FIELD_NUMBER: _ClassVar[int]
    num_containers_stopped: int
    left_over: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, num_containers_stopped: _Optional[int] = ..., left_over: _Optional[_Iterable[str]] = ...) -> None: ...

class AppListRequest(_message.Message):
    __slots__ = ("environment", "include_stopped")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_STOPPED_FIELD_NUMBER: _ClassVar[int]
    environment: str
    include_stopped: bool
    def __init__(self, environment: _Optional[str] = ..., include_stopped: _Optional[bool] = ...) -> None: ...

class AppListResponse(_message.Message):
    __slots__ = ("apps",)
    APPS_FIELD_NUMBER: _ClassVar[int]
    apps: _containers.RepeatedCompositeFieldContainer[AppInfo]
    def __init__(self, apps: _Optional[_Iterable[_Union[AppInfo, _Mapping]]] = ...) -> None: ...
