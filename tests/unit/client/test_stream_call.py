"""Values of generators as they arrive at the client: in order, each once, or an error in place of what is missing."""

from typing import Any

import pytest

from wherry._calling.stream_call import StreamCall, YieldAcks
from wherry.exception import InternalError
from wherry_proto.messages import CallKind, CallStart, Format, Input, Output, Payload, SessionUp, Yield


def value(index: int, input_id: str = "in-1") -> Yield:
    return Yield(input_id=input_id, call_id="fc-1", index=index, payload=Payload(format=Format.PICKLE, data=b"x"))


def call(*input_ids: str, kind: int = CallKind.GENERATOR) -> StreamCall:
    made = StreamCall(CallStart(call_id="fc-1", function_id="fu-1", kind=kind))
    for input_id in input_ids:
        made.add(Input(input_id=input_id, call_id="fc-1"))
    made.end_inputs(len(input_ids))
    return made


def taken(made: StreamCall) -> tuple[list[Any], str]:
    """Return the indexes of what is handed over until it ends, and the error at the end."""
    indexes: list[Any] = []
    try:
        while events := made.take():
            indexes += [event.index if isinstance(event, Yield) else "end" for event in events]
    except InternalError as error:
        return indexes, str(error)
    return indexes, ""


@pytest.mark.parametrize(
    ("arriving", "says"),
    [
        ([0, 1, 3, 4, 2, 3], "value 2 of the generator did not arrive"),
        ([0, 1, 12], "values 2 to 11 of the generator did not arrive"),
    ],
)
def test_no_value_after_a_gap_is_handed_over(arriving: list[int], says: str) -> None:
    made = call("in-1")
    for index in arriving:
        made.arrived([value(index)], [])
    made.arrived([], [Output(input_id="in-1", call_id="fc-1", num_yields=20)])
    assert taken(made) == ([0, 1], f"{says}, so it ends here: this is a fault of Wherry's")


def test_a_gap_at_the_very_beginning_is_an_error_before_any_value() -> None:
    made = call("in-1")
    made.arrived([value(2), value(3)], [])
    indexes, error = taken(made)
    assert indexes == []
    assert "values 0 to 1" in error


def test_values_that_lack_at_the_end_are_an_error_and_no_early_end() -> None:
    made = call("in-1")
    made.arrived([value(0)], [Output(input_id="in-1", call_id="fc-1", num_yields=3)])
    indexes, error = taken(made)
    assert indexes == [0]
    assert "values 1 to 2" in error


def test_a_gap_in_one_generator_of_a_map_ends_the_map_there() -> None:
    made = call("in-1", "in-2", kind=CallKind.MAP)
    made.arrived([value(0), value(0, "in-2"), value(2), value(1, "in-2")], [])
    made.arrived([value(2, "in-2")], [Output(input_id="in-2", call_id="fc-1", num_yields=3)])
    indexes, error = taken(made)
    assert indexes == [0, 0]
    assert "value 1" in error


def test_what_is_delivered_again_counts_once() -> None:
    made = call("in-1")
    made.arrived([value(0), value(1)], [])
    made.arrived([value(0), value(1), value(2)], [])
    end = Output(input_id="in-1", call_id="fc-1", num_yields=3)
    made.arrived([value(1)], [end])
    made.arrived([value(3)], [end])
    assert taken(made) == ([0, 1, 2, "end"], "")


MIB = 1 << 20


@pytest.mark.parametrize(
    ("payload", "told_after"),
    [
        (Payload(format=Format.PICKLE, blob_id="bl-1", size=MIB + 1), [2, 4, 6]),
        (Payload(format=Format.PICKLE, blob_id="bl-1", size=9 * MIB), [1, 2, 3, 4, 5, 6]),
        (Payload(format=Format.PICKLE, data=bytes(MIB), size=MIB), [2, 4, 6]),
        (Payload(format=Format.PICKLE, data=b"x", size=1), []),
        (None, []),
    ],
)
def test_a_generator_is_told_what_was_taken_by_the_bytes_that_its_window_counts(
    payload: Payload | None, told_after: list[int]
) -> None:
    sent: list[SessionUp] = []
    acks = YieldAcks(sent.append)
    for index in range(6):
        acks.consumed(Yield(input_id="in-1", call_id="fc-1", index=index, payload=payload))
    assert [row.index for up in sent for row in up.yields_taken] == told_after
