"""A queue's items that are lost, doubled, left, out of order or made up are found; those with a reason are not."""

import pytest

from chaos.invariants import queues
from chaos.journal import Operation
from tests.unit.chaos.evidences import did, evidence, failed, pending


def put(first: int, end: int, queue: str = "single", producer: int = 0) -> Operation:
    return did(f"producers-{producer}", "put", {"queue": queue, "numbers": [first, end]})


def get(*items: tuple[int, int], queue: str = "single", consumer: int = 0) -> Operation:
    asked = {"queue": queue, "count": max(len(items), 1)}
    return did(f"consumers-{consumer}", "get", asked, {"items": [list(item) for item in items]})


def killed_get(queue: str = "single", count: int = 1) -> Operation:
    return pending("consumers-0", "get", {"queue": queue, "count": count})


def left(*items: tuple[int, int], queue: str = "single") -> Operation:
    return did("last-0", "left", {"queue": queue}, {"items": [list(item) for item in items], "length": len(items)})


def violations(*operations: Operation, killed_at: float | None = None) -> str:
    killed = {"consumers-0": [killed_at]} if killed_at is not None else {}
    return "\n".join(queues.check(evidence(*operations, killed=killed)).violations)


def test_each_item_once_and_in_order_holds() -> None:
    assert violations(put(0, 1), put(1, 4), get((0, 0)), get((0, 1), (0, 2), (0, 3)), left()) == ""


def test_a_lost_item_is_found() -> None:
    assert "1 acknowledged and LOST" in violations(put(0, 3), get((0, 0)), get((0, 2)), left())
    assert "0.1" in violations(put(0, 3), get((0, 0)), get((0, 2)), left())


def test_a_killed_getter_takes_as_many_along_as_it_had_asked_for() -> None:
    asked = killed_get(count=2)
    assert violations(put(0, 3), asked, get((0, 0)), killed_at=asked.asked_at + 1) == ""
    assert "LOST" in violations(put(0, 4), asked, get((0, 0)), killed_at=asked.asked_at + 1)


def test_a_getter_that_was_not_killed_takes_nothing_along() -> None:
    assert "LOST" in violations(put(0, 2), killed_get(), get((0, 0)))
    asked = killed_get()
    assert "LOST" in violations(put(0, 2), asked, get((0, 0)), killed_at=asked.asked_at - 1)


def test_an_item_given_twice_is_found() -> None:
    assert "1 delivered more than once: 0.0" in violations(put(0, 1), get((0, 0)), get((0, 0)))
    twice = violations(put(0, 1, "shared"), get((0, 0), queue="shared"), get((0, 0), queue="shared", consumer=2))
    assert "queue shared: 1 delivered more than once" in twice


def test_items_out_of_order_are_found() -> None:
    assert "0.0 came after 0.1" in violations(put(0, 1), put(1, 2), get((0, 1)), get((0, 0)))


def test_several_getters_may_see_another_order() -> None:
    assert violations(put(0, 2, "shared"), get((0, 1), queue="shared"), get((0, 0), queue="shared")) == ""


def test_an_item_that_nobody_put_is_found() -> None:
    assert "1 delivered that nobody put: 7.7" in violations(put(0, 1), get((0, 0)), get((7, 7)))


def test_an_item_that_is_left_is_found() -> None:
    assert "1 left in the queue" in violations(put(0, 2), get((0, 0)), left((0, 1)))


@pytest.mark.parametrize("came", [(), ((0, 0), (0, 1))])
def test_a_put_that_failed_may_have_happened_or_not(came: tuple[tuple[int, int], ...]) -> None:
    asked = {"queue": "single", "numbers": [0, 2]}
    assert violations(failed("producers-0", "put", asked, "the disk is full"), get(*came)) == ""


def test_half_of_a_put_many_is_found() -> None:
    asked = {"queue": "single", "numbers": [0, 3]}
    found = violations(failed("producers-0", "put", asked, "the disk is full"), get((0, 0)))
    assert "of a put_many of 3 that failed 1 came" in found


def test_others_between_the_items_of_a_put_many_are_found() -> None:
    found = violations(put(0, 2), put(0, 1, producer=1), get((0, 0)), get((1, 0)), get((0, 1)))
    assert "others came between the items of a put_many" in found
