"""Objects of a class with parameters, by the query of a request."""

import pickle
from typing import Any

import pytest

import wherry
from wherry._calling.variants import pickled as pickled_by_the_sdk
from wherry_proto.messages import ParameterSpec
from wherry_service.apps.by_query import values_of
from wherry_service.apps.parameters import pickled
from wherry_service.errors import InvalidRequest


def parameter(name: str, *types: str, default: str = "", required: bool = False) -> ParameterSpec:
    return ParameterSpec(name=name, types=list(types), default_json=default, required=required)


@pytest.mark.parametrize(
    ("types", "text", "value"),
    [
        (["int"], "5", 5),
        (["int"], "-12", -12),
        (["float"], "1", 1.0),
        (["float"], "2.5e3", 2500.0),
        (["bool"], "TRUE", True),
        (["bool"], "0", False),
        (["str"], "5", "5"),
        (["str"], "", ""),
        (["bytes"], "ä", "ä".encode()),
        (["int", "None"], "", None),
        (["int", "str"], "7", 7),
        (["int", "str"], "7a", "7a"),
        (["str", "None"], "null", None),
    ],
)
def test_values_are_of_the_parameters_types(types: list[str], text: str, value: Any) -> None:
    from urllib.parse import urlencode

    (found,) = values_of("C.web", [parameter("x", *types)], urlencode({"x": text, "other": "1"})).values()
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("types", "text"),
    [
        (["int"], "five"), (["int"], "1.5"), (["int"], "1" * 65), (["int"], "٣"), (["int"], ""),
        (["float"], "nan"), (["float"], "inf"), (["float"], "1" * 65), (["bool"], "maybe"), (["bool"], ""),
    ],
)  # fmt: skip
def test_what_is_none_of_them_is_named(types: list[str], text: str) -> None:
    from urllib.parse import urlencode

    with pytest.raises(InvalidRequest, match=rf"C\.web got x=.* it must be {types[0]}"):
        values_of("C.web", [parameter("x", *types)], urlencode({"x": text}))


def test_what_is_missing_or_too_much_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"C\.web needs x= in the query of the URL, for example \?x=.* \(int\)"):
        values_of("C.web", [parameter("x", "int", required=True)], "y=1")
    with pytest.raises(InvalidRequest, match="more than 1000 fields"):
        values_of("C.web", [parameter("x", "int")], "&".join(["x=1"] * 1001))


def test_defaults_are_left_out_and_names_are_in_order() -> None:
    parameters = [parameter("b", "int", default="5"), parameter("a", "str", default='"x"'), parameter("c", "bytes")]
    assert values_of("C", parameters, "b=5&a=x") == {}
    assert list(values_of("C", parameters, "c=1&b=6&a=y")) == ["a", "b", "c"]
    assert values_of("C", parameters, "b=1&b=2") == {"b": 2}


@pytest.mark.parametrize("values", [{"x": 5}, {"a": "y", "b": 6}, {"f": 1.5, "n": None, "t": True, "z": b"q"}])
def test_the_same_object_has_the_same_containers_as_by_the_sdk(values: dict[str, Any]) -> None:
    assert pickled(values) == pickled_by_the_sdk(((), values), "C")
    assert pickle.loads(pickled(values)) == ((), values)


def test_the_sdk_describes_the_parameters_of_classes() -> None:
    app = wherry.App("x")

    @app.cls(serialized=True)
    class Site:
        name: str = wherry.parameter()
        size: int | None = wherry.parameter(default=None)
        fixed: int = wherry.parameter(default=3, init=False)
        key: bytes = wherry.parameter(default=b"k")

        @wherry.asgi_app()
        def serve(self) -> Any: ...

    @app.cls(serialized=True)
    class Plain:
        name: str = wherry.parameter()

        @wherry.method()
        def run(self) -> None: ...

    site, plain = (app._roster.functions[name].written for name in ("Site", "Plain"))
    assert site.parameter_specs() == [
        parameter("name", "str", required=True),
        parameter("size", "int", "None", default="null"),
        parameter("key", "bytes"),
    ]
    assert plain.parameter_specs() == [parameter("name", "str", required=True)]


def test_a_class_with_init_arguments_has_no_endpoint() -> None:
    class Site:
        def __init__(self, x: int) -> None: ...

        @wherry.fastapi_endpoint()
        def web(self) -> None: ...

    with pytest.raises(wherry.exception.InvalidError, match=r"as in `x: str = wherry.parameter\(\)`"):
        wherry.App("x").cls(serialized=True)(Site)
