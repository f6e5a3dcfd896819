"""Parameters of classes that come as JSON: the object that they make is the one that a Python program would make."""

import base64
import binascii
import copy
import io
import json
import pickle
from typing import Any

from wherry_proto.messages import Format, FunctionBindRequest, FunctionSpec, ParameterSpec, Payload
from wherry_service.errors import InvalidRequest, near

# As the SDK pickles the arguments of objects: the same object has the same containers then.
PROTOCOL = 5
MAX_BYTES = 64 << 10
_BYTES = "$bytes"

Value = str | int | float | bool | bytes | None


def pickled(values: dict[str, Value]) -> bytes:
    """Return (args, kwargs) of an object as the SDK does."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, PROTOCOL)
    pickler.fast = True
    pickler.dump(((), values))
    return buffer.getvalue()


def without_json(request: FunctionBindRequest, spec: FunctionSpec) -> FunctionBindRequest:
    """Return the request with parameters as the SDK sends them, where they are JSON; raise `InvalidRequest`."""
    if request.parameters is None or request.parameters.format != Format.JSON:
        return request
    found = copy.copy(request)
    values = values_of(spec, request.parameters.data)
    data = pickled(values)
    # All are as they are without any: it is the class itself.
    found.parameters = Payload(format=Format.PICKLE, data=data, size=len(data)) if values else None
    return found


def values_of(spec: FunctionSpec, data: bytes) -> dict[str, Value]:
    """Return the values that differ from their defaults, by name in order, of {"kwargs": {…}}."""
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"parameters have at most {MAX_BYTES} bytes, these have {len(data)}")
    try:
        given = json.loads(data)["kwargs"]
        if not isinstance(given, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidRequest("parameters are no JSON object") from None
    known = {one.name: one for one in spec.class_parameters}
    if given and not known:
        raise InvalidRequest(
            f"class {spec.name!r} takes parameters from Python programs alone: declare them with wherry.parameter() "
            "for other programs"
        )
    for name in given:
        if name not in known:
            raise InvalidRequest(f"class {spec.name!r} has no parameter {name[:64]!r}{near(name, list(known))}")
    found: dict[str, Value] = {}
    for name, one in sorted(known.items()):
        if name not in given:
            if one.required:
                raise InvalidRequest(f"class {spec.name!r} needs the parameter {name} ({' or '.join(one.types)})")
            continue
        value = _value(spec.name, one, given[name])
        if not one.default_json or json.dumps(value if type(value) is not bytes else None) != one.default_json:
            found[name] = value
    return found


def _value(class_name: str, parameter: ParameterSpec, given: Any) -> Value:
    """Return a parameter's value; raise `InvalidRequest` where it is of none of its types."""
    types = parameter.types
    kind = type(given)
    if (given is None and "None" in types) or (kind in (str, bool) and kind.__name__ in types):
        return given  # type: ignore[no-any-return]
    if kind is int and "int" in types:
        return int(given)
    if kind in (int, float) and "float" in types:
        return float(given)
    if kind is dict and "bytes" in types and given.keys() == {_BYTES} and isinstance(given[_BYTES], str):
        try:
            return base64.b64decode(given[_BYTES], validate=True)
        except binascii.Error:
            raise InvalidRequest(f"{parameter.name} of class {class_name!r}: its {_BYTES} is no base64") from None
    wanted = " or ".join('{"$bytes": BASE64}' if one == "bytes" else one for one in types)
    raise InvalidRequest(f"parameter {parameter.name} of class {class_name!r} must be {wanted}")
