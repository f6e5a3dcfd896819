"""Parameters of classes as JSON: the same object as a Python program's."""

import json
import pickle
from typing import Any

import pytest

from wherry_proto.messages import Format, FunctionBindRequest, FunctionSpec, ParameterSpec, Payload
from wherry_service.apps.parameters import MAX_BYTES, values_of, without_json
from wherry_service.errors import InvalidRequest

SPEC = FunctionSpec(
    name="Greeter",
    class_parameters=[
        ParameterSpec(name="name", types=["str"], default_json='"you"'),
        ParameterSpec(name="times", types=["int"], default_json="1"),
        ParameterSpec(name="loud", types=["bool", "None"], default_json="false"),
        ParameterSpec(name="key", types=["bytes"]),
        ParameterSpec(name="rate", types=["float"], default_json="0.5"),
    ],
)
NEEDS = FunctionSpec(name="Needs", class_parameters=[ParameterSpec(name="x", types=["int", "str"], required=True)])


def request_of(kwargs: Any) -> FunctionBindRequest:
    data = json.dumps({"kwargs": kwargs}).encode()
    return FunctionBindRequest(function_id="fu-1", parameters=Payload(format=Format.JSON, data=data, size=len(data)))


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({}, {}),
        ({"name": "you", "times": 1, "rate": 0.5, "loud": False}, {}),
        ({"times": 2, "name": "me"}, {"name": "me", "times": 2}),
        ({"loud": None, "rate": 2}, {"loud": None, "rate": 2.0}),
        ({"key": {"$bytes": "aGk="}}, {"key": b"hi"}),
    ],
)
def test_values_that_differ_from_their_defaults_are_sent_as_python_sends_them(
    given: dict[str, Any], values: dict[str, Any]
) -> None:
    found = without_json(request_of(given), SPEC)
    if not values:
        assert found.parameters is None
        return
    assert found.parameters is not None
    assert found.parameters.format == Format.PICKLE
    assert pickle.loads(found.parameters.data) == ((), values)
    assert list(values_of(SPEC, request_of(given).parameters.data)) == sorted(values)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("spec", "given", "said"),
    [
        (SPEC, {"nam": 1}, "has no parameter 'nam'; did you mean 'name'"),
        (SPEC, {"name": 1}, "parameter name of class 'Greeter' must be str"),
        (SPEC, {"times": "1"}, "must be int"),
        (SPEC, {"times": True}, "must be int"),
        (SPEC, {"times": 1.5}, "must be int"),
        (SPEC, {"loud": 1}, "must be bool or None"),
        (SPEC, {"key": "aGk="}, 'must be {"$bytes": BASE64}'),
        (SPEC, {"key": {"$bytes": "*"}}, "no base64"),
        (SPEC, {"name": {"$bytes": "aGk="}}, "must be str"),
        (NEEDS, {}, "needs the parameter x (int or str)"),
        (FunctionSpec(name="Old"), {"x": 1}, "takes parameters from Python programs alone"),
        (SPEC, [1], "no JSON object"),
        (SPEC, {"name": "x" * MAX_BYTES}, "at most"),
    ],
)
def test_what_is_no_parameter_is_told(spec: FunctionSpec, given: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        without_json(request_of(given), spec)
    assert said in str(caught.value)


def test_pickles_are_left_as_they_are() -> None:
    for parameters in (None, Payload(format=Format.PICKLE, data=b"x")):
        request = FunctionBindRequest(function_id="fu-1", parameters=parameters)
        assert without_json(request, SPEC) is request
