from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ImageStep(_message.Message):
    __slots__ = ("kind", "args", "options")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    args: _containers.RepeatedScalarFieldContainer[str]
    options: _containers.ScalarMap[str, str]
    def __init__(self, kind: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., options: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ImageDefinition(_message.Message):
    __slots__ = ("steps", "force_build")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    FORCE_BUILD_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[ImageStep]
    force_build: bool
    def __init__(self, steps: _Optional[_Iterable[_Union[ImageStep, _Mapping]]] = ..., force_build: _Optional[bool] = ...) -> None: ...

class ImageEnsureRequest(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[ImageDefinition]
    def __init__(self, images: _Optional[_Iterable[_Union[ImageDefinition, _Mapping]]] = ...) -> None: ...

class ImageEvent(_message.Message):
    __slots__ = ("index", "log", "image_id", "built", "seconds", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    BUILT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    log: str
    image_id: str
    built: bool
    seconds: float
    error: str
    def __init__(self, index: _Optional[int] = ..., log: _Optional[str] = ..., image_id: _Optional[str] = ..., built: _Optional[bool] = ..., seconds: _Optional[float] = ..., error: _Optional[str] = ...) -> None: ...
