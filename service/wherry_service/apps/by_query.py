"""Which object of a class answers a request: the one with the parameters that the request's query says."""

import json
import math
from collections.abc import Sequence
from urllib.parse import parse_qsl

from wherry_proto.messages import Format, FunctionBindRequest, ParameterSpec, Payload
from wherry_service.apps.binding import Binding
from wherry_service.apps.endpoints import Endpoint
from wherry_service.apps.parameters import Value, pickled
from wherry_service.errors import InvalidRequest

MAX_DIGITS = 64
MAX_FIELDS = 1000
_TRUE = frozenset(("true", "1", "yes", "on"))
_FALSE = frozenset(("false", "0", "no", "off"))


class ByQuery:
    """Finds the function behind a request to a class with parameters. Its functions are bound by `begin`'s."""

    def __init__(self) -> None:
        self._binding: Binding | None = None

    def begin(self, binding: Binding) -> None:
        """Bind functions by this from now on."""
        self._binding = binding

    async def function_of(self, endpoint: Endpoint, query: str) -> str:
        """Return the id of the function that answers; raise `InvalidRequest` for a query that says no object."""
        if not endpoint.parameters or self._binding is None:
            return endpoint.function_id
        values = values_of(endpoint.name, endpoint.parameters, query)
        if not values:
            return endpoint.function_id
        data = pickled(values)
        parameters = Payload(format=Format.PICKLE, data=data, size=len(data))
        request = FunctionBindRequest(function_id=endpoint.function_id, parameters=parameters)
        return (await self._binding.bind_for_request(request)).function_id


def values_of(name: str, parameters: Sequence[ParameterSpec], query: str) -> dict[str, Value]:
    """Return the values that differ from their defaults, by name in order; raise `InvalidRequest` for what is none."""
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise InvalidRequest(f"the query has more than {MAX_FIELDS} fields") from None
    found: dict[str, Value] = {}
    for one in sorted(parameters, key=lambda one: one.name):
        if one.name not in given:
            if one.required:
                raise InvalidRequest(
                    f"{name} needs {one.name}= in the query of the URL, for example ?{one.name}=... "
                    f"({' or '.join(one.types)})"
                )
            continue
        value = _read(name, one, given[one.name])
        if not one.default_json or json.dumps(value if type(value) is not bytes else None) != one.default_json:
            found[one.name] = value
    return found


def _read(name: str, parameter: ParameterSpec, text: str) -> Value:
    """Return the value that a text is, of the first of the parameter's types that it fits."""
    types = parameter.types
    if "None" in types and text in ("", "None", "null"):
        return None
    if "bool" in types and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if "float" not in types and "int" in types and (number := _whole(text)) is not None:
        return number
    if "float" in types and (fraction := _float(text)) is not None:
        return fraction
    if "str" in types:
        return text
    if "bytes" in types:
        return text.encode("utf-8", "surrogatepass")
    kinds = " or ".join(kind for kind in types if kind != "None")
    raise InvalidRequest(f"{name} got {parameter.name}={text[:64]!r} in the query of the URL: it must be {kinds}")


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS else None


def _float(text: str) -> float | None:
    try:
        value = float(text) if len(text) <= MAX_DIGITS else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
