"""What a container may say of the inputs that it was given."""

from typing import Any

import pytest

from wherry_proto.messages import CallKind, Format, Payload, WebSpec
from wherry_service.calls.call import Call, Input
from wherry_service.node.frames import ProtocolError
from wherry_service.node.holdings import MAX_CLAIMS, Holdings
from wherry_service.node.node import LoadOrder
from wherry_service.node.runner_protocol import MAX_AHEAD, MAX_AHEAD_BYTES


def load(**options: Any) -> LoadOrder:
    fields: dict[str, Any] = {
        "app_id": "ap-1",
        "function_id": "fu-1",
        "name": "f",
        "module_name": "m",
        "qualname": "f",
        "serialized": b"",
        "source_id": "",
        "is_generator": False,
        "is_async": False,
        "concurrency": 1,
        "timeout_s": 1.0,
        "startup_timeout_s": 1.0,
    }
    return LoadOrder(**(fields | options))


def holding(order: LoadOrder, method: str = "") -> Holdings:
    holdings = Holdings(order)
    call = Call("fc-1", "fu-1", CallKind.REMOTE, None, "")
    holdings.give(Input("in-1", call, 0, Payload(), method))
    return holdings


def value(size: int = 1) -> Payload:
    return Payload(format=Format.PICKLE, data=b"x" * size, size=size)


@pytest.mark.parametrize(
    ("order", "method"),
    [(load(), ""), (load(methods=(("plain", False, False), ("gen", True, False)), is_generator=True), "plain")],
)
def test_what_is_no_generator_yields_nothing(order: LoadOrder, method: str) -> None:
    holdings = holding(order, method)
    with pytest.raises(ProtocolError, match="no generator"):
        holdings.check_yields([("in-1", 0, value())])
    with pytest.raises(ProtocolError, match="no generator"):
        holdings.check_outputs([("in-1", value(), 1)])
    with pytest.raises(ProtocolError, match="no generator"):
        holdings.check_end("in-1", 1)
    holdings.check_outputs([("in-1", value(), 0)])


@pytest.mark.parametrize(
    ("order", "method"),
    [(load(is_generator=True), ""), (load(methods=(("plain", False, False), ("gen", True, False))), "gen")],
)
def test_a_generator_yields_within_its_window(order: LoadOrder, method: str) -> None:
    holdings = holding(order, method)
    for index in range(MAX_AHEAD):
        holdings.check_yields([("in-1", index, value())])
    holdings.taken([("in-1", 10)])
    holdings.check_yields([("in-1", MAX_AHEAD + index, value()) for index in range(10)])
    with pytest.raises(ProtocolError, match=f"is {MAX_AHEAD + 1} values"):
        holdings.check_yields([("in-1", MAX_AHEAD + 11, value())])
    holdings.check_outputs([("in-1", value(), MAX_AHEAD)])


def test_the_window_counts_bytes_and_is_forgotten_with_its_input() -> None:
    holdings = holding(load(is_generator=True))
    many = [("in-1", index, value(1 << 20)) for index in range((MAX_AHEAD_BYTES >> 20) + 1)]
    with pytest.raises(ProtocolError, match="ahead of its caller"):
        holdings.check_yields(many)
    holdings.let_go(["in-1"])
    assert (holdings.ids, holdings._ahead) == (set(), {})


def test_a_hello_takes_in_what_it_was_given_and_nothing_else() -> None:
    holdings = holding(load())
    assert holdings.claimed(["in-1", "in-made-up", "in-1"]) == ["in-1"]
    assert holdings.ids == {"in-1"}
    assert holdings.claimed([]) == []
    assert holdings.ids == set()


def test_the_answer_of_a_durable_input_is_named_again_until_it_is_kept() -> None:
    holdings = Holdings(load())
    holdings.give(Input("in-1", Call("fc-1", "fu-1", CallKind.SPAWN, None, ""), 0, Payload()))
    holdings.give(Input("in-2", Call("fc-2", "fu-1", CallKind.REMOTE, None, ""), 0, Payload()))
    holdings.answered(["in-1", "in-2"])
    assert holdings.claimed(["in-1", "in-2"]) == ["in-1"]
    holdings.answered(["in-1"])
    holdings.kept(["in-1"])
    assert holdings.claimed(["in-1"]) == []
    assert (holdings._durable, holdings._unkept) == (set(), set())


def test_the_word_of_an_earlier_life_s_container_counts_once_and_is_bounded() -> None:
    holdings = Holdings(load())
    holdings.from_earlier_life = True
    named = [f"in-{number}" for number in range(MAX_CLAIMS + 10)]
    assert holdings.claimed(["no-input", *named]) == named[:MAX_CLAIMS]
    assert holdings.claimed(["in-new", "in-0"]) == ["in-0"]


def test_only_web_endpoints_answer_with_responses() -> None:
    response = Payload(format=Format.WEB, data=b"x", size=1)
    with pytest.raises(ProtocolError, match="no web endpoint"):
        holding(load()).check_outputs([("in-1", response, 0)])
    holding(load(web={"": WebSpec()})).check_outputs([("in-1", response, 0)])
