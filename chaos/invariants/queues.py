"""Items of a queue: what was acknowledged is given to one getter, once, in the order in which it was put.

A getter that is killed after its `get` was answered, before it could write that down, takes what it was given with it:
so many items may be missing as killed gets had asked for, and no more. A put that was told to have failed, or whose
putter was killed, may have happened or not, but of many items all or none.
"""

from collections import Counter

from chaos.invariants.evidence import Evidence, Verdict, first_of
from chaos.journal import Operation
from chaos.load.producers import QUEUES

Item = tuple[int, int]


def check(evidence: Evidence) -> Verdict:
    """Check both queues."""
    verdict = Verdict("queues", "")
    found = [_check_queue(evidence, name, verdict) for name in QUEUES]
    verdict.found = "; ".join(found)
    return verdict


def _check_queue(evidence: Evidence, name: str, verdict: Verdict) -> str:
    puts = [one for one in evidence.of("producers") if one.asked["queue"] == name]
    gets = [one for one in evidence.of("consumers") if one.asked["queue"] == name]
    sure = {item for one in puts if one.did for item in _put(one)}
    maybe = {item for one in puts if not one.did for item in _put(one)}
    got: list[Item] = [(int(item[0]), int(item[1])) for one in gets for item in one.answer.get("items", [])]
    left = [
        (int(item[0]), int(item[1]))
        for one in evidence.of("last", "left")
        if one.asked["queue"] == name
        for item in one.answer.get("items", [])
    ]
    taken_along = sum(int(one.asked["count"]) for one in gets if evidence.was_killed(one))
    times = Counter(got)

    def say(what: str, items: list[Item]) -> None:
        if items:
            shown = first_of([f"{producer}.{number}" for producer, number in sorted(items)])
            verdict.violations.append(f"queue {name}: {len(items)} {what}: {shown}")

    say("delivered more than once", [item for item, count in times.items() if count > 1])
    say("delivered that nobody put", [item for item in times if item not in sure and item not in maybe])
    say("left in the queue, which its getters found empty", left)
    lost = sorted(sure - times.keys() - set(left))
    if len(lost) > taken_along:
        say(f"acknowledged and LOST (killed getters account for {taken_along} at most)", lost)
    for one in puts:
        whole = _put(one)
        here = [item for item in whole if item in times]
        if not one.did and here and len(here) < len(whole) and len(whole) - len(here) > taken_along:
            verdict.violations.append(f"queue {name}: of a put_many of {len(whole)} that failed {len(here)} came")
    if name == "single":
        _check_order(puts, got, verdict)
    return f"{name}: {len(sure)} acknowledged, {len(got)} got, {len(lost)} with killed getters, {len(left)} left"


def _check_order(puts: list[Operation], got: list[Item], verdict: Verdict) -> None:
    """One getter sees the order of the queue: each producer's is kept, and what was put together is together."""
    last: dict[int, int] = {}
    for producer, number in got:
        if number < last.get(producer, -1):
            verdict.violations.append(
                f"queue single: {producer}.{number} came after {producer}.{last[producer]}, which was put later"
            )
        last[producer] = max(number, last.get(producer, -1))
    places = {item: place for place, item in enumerate(got)}
    for one in puts:
        here = sorted(places[item] for item in _put(one) if item in places)
        if here and here[-1] - here[0] != len(here) - 1:
            verdict.violations.append(f"queue single: others came between the items of a put_many, {_put(one)[0]} on")


def _put(operation: Operation) -> list[Item]:
    first, end = operation.asked["numbers"]
    producer = int(operation.client.rpartition("-")[2])
    return [(producer, number) for number in range(int(first), int(end))]
