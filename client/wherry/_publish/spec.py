"""What the service is told of a function."""

import sys

from wherry._base import modal_name
from wherry._connection import pickling
from wherry._define.definition import Definition
from wherry.exception import InvalidError, SerializationError
from wherry_proto.messages import Format, FunctionSpec, Payload

MAX_SERIALIZED = 16 << 20
WARN_SERIALIZED = 256 << 10


def function_spec(definition: Definition, image_id: str = "", source_id: str = "") -> FunctionSpec:
    """Return what the service needs to know of a function or class; raise InvalidError or SerializationError."""
    spec = FunctionSpec(
        name=definition.name,
        image_id=image_id,
        source_id=source_id,
        is_generator=definition.is_generator,
        is_async=definition.is_async,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )
    if definition.sends_itself:
        spec.serialized = _serialized(definition)
    elif definition.module_name == "__main__":
        raise InvalidError(
            f"{definition.name} is in an archive, so there is no file to send: use @app.function(serialized=True)"
        )
    else:
        spec.module_name = definition.module_name
        spec.qualname = definition.function.__qualname__
    spec.methods = definition.method_specs()
    spec.class_parameters = definition.parameter_specs()
    spec.needs_parameters = definition.needs_parameters
    if definition.web is not None:
        spec.web = definition.web.message()
    definition.options.fill(spec)
    if modal_name.is_taken():
        spec.env.setdefault(modal_name.VARIABLE, "1")
    return spec


def _serialized(definition: Definition) -> Payload:
    """Pickle the function itself, by value."""
    try:
        data = pickling.dumps_by_value(definition.shipped, definition.module)
    except pickling.UNPICKLABLE as error:
        raise SerializationError(
            f"{definition.name} can't be sent: something that it uses can't be pickled ({error}); "
            "make or open it inside the function"
        ) from error
    if len(data) > MAX_SERIALIZED:
        raise InvalidError(
            f"{definition.name} is {len(data) >> 20} MiB with all that it refers to; at most "
            f"{MAX_SERIALIZED >> 20} MiB can be sent with a function: pass large data as arguments"
        )
    if len(data) > WARN_SERIALIZED:
        import warnings  # noqa: PLC0415 - start-up cost: loaded with the interpreter

        warnings.warn(
            f"{definition.name} is {len(data) >> 10} KiB with all that it refers to: pass large data as arguments",
            UserWarning,
            stacklevel=2,
        )
    return Payload(format=Format.PICKLE, data=data, size=len(data))
