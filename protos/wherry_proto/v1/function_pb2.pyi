from wherry_proto.v1 import payload_pb2 as _payload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Resources(_message.Message):
    __slots__ = ("cpu_request", "cpu_limit", "memory_request_mib", "memory_limit_mib")
    CPU_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CPU_LIMIT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_REQUEST_MIB_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_MIB_FIELD_NUMBER: _ClassVar[int]
    cpu_request: float
    cpu_limit: float
    memory_request_mib: int
    memory_limit_mib: int
    def __init__(self, cpu_request: _Optional[float] = ..., cpu_limit: _Optional[float] = ..., memory_request_mib: _Optional[int] = ..., memory_limit_mib: _Optional[int] = ...) -> None: ...

class PoolSettings(_message.Message):
    __slots__ = ("min_containers", "max_containers", "buffer_containers", "scaledown_window_s", "max_concurrent_inputs")
    MIN_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    SCALEDOWN_WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_INPUTS_FIELD_NUMBER: _ClassVar[int]
    min_containers: int
    max_containers: int
    buffer_containers: int
    scaledown_window_s: float
    max_concurrent_inputs: int
    def __init__(self, min_containers: _Optional[int] = ..., max_containers: _Optional[int] = ..., buffer_containers: _Optional[int] = ..., scaledown_window_s: _Optional[float] = ..., max_concurrent_inputs: _Optional[int] = ...) -> None: ...

class RetryPolicy(_message.Message):
    __slots__ = ("max_retries", "backoff_coefficient", "initial_delay_s", "max_delay_s")
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_DELAY_S_FIELD_NUMBER: _ClassVar[int]
    MAX_DELAY_S_FIELD_NUMBER: _ClassVar[int]
    max_retries: int
    backoff_coefficient: float
    initial_delay_s: float
    max_delay_s: float
    def __init__(self, max_retries: _Optional[int] = ..., backoff_coefficient: _Optional[float] = ..., initial_delay_s: _Optional[float] = ..., max_delay_s: _Optional[float] = ...) -> None: ...

class FunctionSpec(_message.Message):
    __slots__ = ("name", "module_name", "qualname", "serialized", "image_id", "source_id", "is_generator", "is_async", "resources", "pool", "retry", "timeout_s", "startup_timeout_s", "env", "block_network", "python")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODULE_NAME_FIELD_NUMBER: _ClassVar[int]
    QUALNAME_FIELD_NUMBER: _ClassVar[int]
    SERIALIZED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    IS_GENERATOR_FIELD_NUMBER: _ClassVar[int]
    IS_ASYNC_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    STARTUP_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NETWORK_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    name: str
    module_name: str
    qualname: str
    serialized: _payload_pb2.Payload
    image_id: str
    source_id: str
    is_generator: bool
    is_async: bool
    resources: Resources
    pool: PoolSettings
    retry: RetryPolicy
    timeout_s: float
    startup_timeout_s: float
    env: _containers.ScalarMap[str, str]
    block_network: bool
    python: str
    def __init__(self, name: _Optional[str] = ..., module_name: _Optional[str] = ..., qualname: _Optional[str] = ..., serialized: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., image_id: _Optional[str] = ..., source_id: _Optional[str] = ..., is_generator: _Optional[bool] = ..., is_async: _Optional[bool] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., pool: _Optional[_Union[PoolSettings, _Mapping]] = ..., retry: _Optional[_Union[RetryPolicy, _Mapping]] = ..., timeout_s: _Optional[float] = ..., startup_timeout_s: _Optional[float] = ..., env: _Optional[_Mapping[str, str]] = ..., block_network: _Optional[bool] = ..., python: _Optional[str] = ...) -> None: ...

class FunctionInfo(_message.Message):
    __slots__ = ("function_id", "app_id", "name", "is_generator", "app_name", "environment")
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_GENERATOR_FIELD_NUMBER: _ClassVar[int]
    APP_NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    function_id: str
    app_id: str
    name: str
    is_generator: bool
    app_name: str
    environment: str
    def __init__(self, function_id: _Optional[str] = ..., app_id: _Optional[str] = ..., name: _Optional[str] = ..., is_generator: _Optional[bool] = ..., app_name: _Optional[str] = ..., environment: _Optional[str] = ...) -> None: ...

class FunctionLookupRequest(_message.Message):
    __slots__ = ("app_name", "name", "environment", "function_id")
    APP_NAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    app_name: str
    name: str
    environment: str
    function_id: str
    def __init__(self, app_name: _Optional[str] = ..., name: _Optional[str] = ..., environment: _Optional[str] = ..., function_id: _Optional[str] = ...) -> None: ...

class FunctionStatsRequest(_message.Message):
    __slots__ = ("function_id",)
    FUNCTION_ID_FIELD_NUMBER: _ClassVar[int]
    function_id: str
    def __init__(self, function_id: _Optional[str] = ...) -> None: ...

class FunctionStats(_message.Message):
    __slots__ = ("backlog", "num_active_containers", "num_total_containers")
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    NUM_ACTIVE_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    NUM_TOTAL_CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    backlog: int
    num_active_containers: int
    num_total_containers: int
    def __init__(self, backlog: _Optional[int] = ..., num_active_containers: _Optional[int] = ..., num_total_containers: _Optional[int] = ...) -> None: ...
