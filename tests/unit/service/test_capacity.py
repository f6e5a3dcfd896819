"""What a host carries: each limit for what it means."""

import pytest

from tests.fakes.host import gpus_of
from wherry_service.host import Processors
from wherry_service.pools.capacity import BUSY_PART, CONTAINERS_PER_CORE, Capacity, Share

PLAIN = Capacity.share(None, None)


class Busy:
    """Processors that are as busy as the test says."""

    def __init__(self, part: float) -> None:
        self.part = part
        self.look = 1

    def __call__(self) -> tuple[int, float]:
        return self.look, self.part

    def pass_time(self) -> None:
        self.look += 1


def taken(capacity: Capacity, share: Share = PLAIN) -> int:
    """Take all there is; return how often."""
    count = 0
    while capacity.take(share, "co-1"):
        count += 1
    return count


@pytest.mark.parametrize("cores", [0.5, 1, 2, 3])
def test_so_many_for_each_core_start_whatever_the_processors_do(cores: float) -> None:
    assert taken(Capacity(cores, 100_000, Busy(1.0), CONTAINERS_PER_CORE, gpus_of())) == 12 * cores
    assert taken(Capacity(cores, 100_000, Busy(1.0), 4, gpus_of())) == 4 * cores


def test_more_start_a_few_at_a_time_while_the_processors_have_time_to_spare_and_there_is_memory() -> None:
    busy = Busy(0.2)
    capacity = Capacity(2, 60 * 128, busy, CONTAINERS_PER_CORE, gpus_of())
    assert taken(capacity) == 24 + 4
    assert "28 containers that share the processors" in capacity.lack(PLAIN)
    busy.pass_time()
    assert taken(capacity) == 4
    busy.pass_time()
    busy.part = BUSY_PART + 0.01
    assert taken(capacity) == 0
    assert "76% busy (limits.containers_per_core is 12)" in capacity.lack(PLAIN)
    busy.part = 0.1
    for _ in range(10):
        busy.pass_time()
        taken(capacity)
    assert capacity.lack(PLAIN) == "128 MiB of memory are wanted, and 0 of 7680 MiB are free"
    for _ in range(60):
        capacity.give_back(PLAIN, "co-1")
    assert taken(capacity) == 24 + 4


def test_cores_that_are_set_aside_add_up_to_those_there_are() -> None:
    capacity = Capacity(2, 100_000, Busy(0.0), CONTAINERS_PER_CORE, gpus_of())
    whole = Capacity.share(1.5, None)
    # Those that set none aside hold none back from it.
    assert taken(capacity) >= 24
    assert capacity.take(whole, "co-1")
    assert not capacity.take(whole, "co-1")
    assert capacity.lack(whole) == "1.5 cores are wanted, and 0.5 of 2 are not set aside for others"
    assert capacity.take(Capacity.share(0.5, None), "co-1")
    assert capacity.could_ever_fit(Capacity.share(2, 100_000))
    assert not capacity.could_ever_fit(Capacity.share(2.1, 1))
    assert not capacity.could_ever_fit(Capacity.share(None, 100_001))


def test_where_all_cores_are_set_aside_one_that_shares_them_still_starts() -> None:
    capacity = Capacity(2, 100_000, Busy(1.0), CONTAINERS_PER_CORE, gpus_of())
    assert capacity.take(Capacity.share(2, None), "co-1")
    assert taken(capacity) == 1


def test_who_was_refused_is_told_once_when_something_comes_back() -> None:
    capacity = Capacity(1, 128, Busy(1.0), CONTAINERS_PER_CORE, gpus_of())
    told: list[str] = []
    assert capacity.take(PLAIN, "co-1")
    assert not capacity.take(PLAIN, "co-1")
    capacity.wait("a", lambda: told.append("a"))
    capacity.wait("b", lambda: told.append("b"))
    capacity.forget("b")
    assert capacity.contended
    capacity.give_back(PLAIN, "co-1")
    capacity.add(PLAIN)
    capacity.give_back(PLAIN, "co-1")
    assert told == ["a"]


def test_processors_are_busy_until_two_looks_say_otherwise() -> None:
    now, used, total = [100.0], [1000.0], [5000.0]
    processors = Processors(lambda: (used[0], total[0]), lambda: now[0])

    def after(seconds: float, used_of: float) -> tuple[int, float]:
        now[0] += seconds
        total[0] += 200 * seconds
        used[0] += 200 * seconds * used_of
        return processors.busy()

    assert after(0, 0) == (1, 1.0)
    assert after(0.1, 0.5) == (1, 1.0)
    assert after(0.9, 0.5) == (2, pytest.approx(0.5))
    assert after(1, 0.0) == (3, pytest.approx(0.0))
    # Long unasked, what was then says nothing.
    assert after(60, 0.0) == (4, 1.0)
    assert after(1, 0.25) == (5, pytest.approx(0.25))


def test_processors_that_say_nothing_count_as_busy() -> None:
    def unknown() -> tuple[float, float]:
        raise OSError("no /proc here")

    assert Processors(unknown).busy()[1] == 1.0
    number, busy = Processors().busy()
    assert (number, busy) == (1, 1.0)


def test_the_load_is_what_is_left_and_how_busy_it_is() -> None:
    capacity = Capacity(2, 1000, Busy(0.3), CONTAINERS_PER_CORE, gpus_of())
    assert capacity.load() == (2, 2, 1000, 1000, 0.3)
    assert capacity.take(Capacity.share(1.5, 600), "co-1")
    assert capacity.load() == (2, 0.5, 1000, 400, 0.3)
    # Found after a restart: more than there is.
    capacity.add(Capacity.share(3.0, 4000))
    assert capacity.load() == (2, 0, 1000, 0, 0.3)
