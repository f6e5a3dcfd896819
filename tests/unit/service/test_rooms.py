"""Where a pool has room and how much it wants, as tables: containers are written as a few words."""

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.node import FakeContainer, payload
from wherry_service.calls.call import Call, Input
from wherry_service.node.events import ContainerEvents, Hearer
from wherry_service.node.node import LoadOrder
from wherry_service.pools import rooms
from wherry_service.pools.autoscaler import Bounds
from wherry_service.pools.capacity import Share
from wherry_service.pools.container import Container, State
from wherry_service.pools.plan import PoolPlan

NOW = 100.0
CALL = Call("fc-1", "fu-1", 0, None, "")

LOAD = LoadOrder(
    app_id="ap-1", function_id="fu-1", name="f", module_name="m", qualname="f", serialized=b"", source_id="",
    is_generator=False, is_async=False, concurrency=1, timeout_s=60, startup_timeout_s=60,
)  # fmt: skip


class Still:
    """Implements `container.Home` where time does not pass."""

    closed = False

    @property
    def plan(self) -> PoolPlan:
        raise AssertionError("a container does not ask for it")

    def now(self) -> float:
        return NOW


def plan(
    batch: int = 0, batch_wait_ms: int = 0, single_use: bool = False, window_s: float = 60.0, **bounds: Any
) -> Any:
    async def never(container_id: str) -> Any:
        raise AssertionError("nothing is started here")

    load = replace(LOAD, max_batch_size=batch, batch_wait_ms=batch_wait_ms)
    return PoolPlan("fu-1", "f", Bounds(**bounds), window_s, 60.0, Share(0, 128), load, never, single_use)


def container(words: str, slots: int = 1, batch: int = 0) -> Container[Input]:
    """Make a container of words: what it is, and `holds=2`, `idle=30` or `quiet=1` seconds, and so on."""
    has = dict(word.partition("=")[::2] for word in words.split())
    made: Container[Input] = Container(has.get("id", "co"), slots, Still(), batch)
    made.ready = "loading" not in has
    for index in range(int(has.get("holds") or 0)):
        item = Input(f"in-{index}", CALL, index, payload())
        item.children = int("waits" in has)
        made.held[item.input_id] = item
    made.state = State.DRAINING if "leaves" in has else State.BUSY if made.held else State.IDLE
    made.used = bool(made.held) or "used" in has
    made.recalled = "recalled" in has
    made.num_execs = int("exec" in has)
    made.idle_since = NOW - float(has.get("idle") or 0)
    made.last_progress = NOW - float(has.get("quiet") or 0)
    made.full_since = NOW - float(has.get("full") or 0)
    made.gathers_since = NOW - float(has.get("gathers") or 0)
    made.handle = handle = FakeContainer("co", Hearer(made, ContainerEvents(), ContainerEvents()), LOAD)
    handle.connected = "away" not in has
    return made


@pytest.mark.parametrize(
    ("containers", "slots", "options", "backlog", "seconds", "rooms_of"),
    [
        pytest.param([], 1, {}, 5, None, [], id="no container"),
        pytest.param(["id=a"], 1, {}, 5, None, [("a", 1)], id="an idle one, one slot"),
        pytest.param(["id=a holds=1"], 1, {}, 5, None, [], id="full, and nothing is known of how long inputs take"),
        pytest.param(["id=a away"], 1, {}, 5, None, [], id="its runner is away"),
        pytest.param(["id=a leaves"], 1, {}, 5, None, [], id="on its way out"),
        pytest.param(["id=a loading"], 1, {}, 5, None, [("a", 1)], id="inputs wait inside for the code as well"),
        pytest.param(["id=a holds=3", "id=b holds=1"], 4, {}, 5, None, [("b", 3), ("a", 1)], id="the emptiest first"),
        pytest.param(["id=a holds=1"], 1, {}, 5, 0.001, [("a", 5)], id="5 ms of work wait inside"),
        pytest.param(["id=a holds=1"], 1, {}, 0, 0.001, [], id="nothing waits: only slots count"),
        pytest.param(["id=a"], 1, {}, 9, 1e-9, [("a", 257)], id="never more than 256 ahead"),
        pytest.param(["id=a holds=1 waits"], 1, {}, 5, 0.001, [], id="nothing waits behind what waits itself"),
        pytest.param(["id=a holds=1 full=1"], 1, {}, 5, 0.001, [], id="nor behind what runs longer than the mean"),
        pytest.param(["id=a used"], 1, {"single_use": True}, 5, 0.001, [], id="for single use, and used"),
        pytest.param(["id=a"], 1, {"single_use": True}, 5, 0.001, [("a", 1)], id="for single use, and new"),
        pytest.param(
            ["id=a", "id=b holds=2 gathers=0.1"], 4, {"batch": 4, "batch_wait_ms": 500}, 5, None,
            [("b", 2), ("a", 4)], id="a batch that gathers is filled first",
        ),
        pytest.param(
            ["id=b holds=2 gathers=0.9", "id=a"], 4, {"batch": 4, "batch_wait_ms": 500}, 5, None,
            [("a", 4), ("b", 2)], id="one that has begun is not",
        ),
    ],
)  # fmt: skip
def test_where_there_is_room(
    containers: list[str], slots: int, options: dict[str, Any], backlog: int, seconds: float | None, rooms_of: list[Any]
) -> None:
    made = [container(words, slots, options.get("batch", 0)) for words in containers]
    found = rooms.with_room(made, plan(**options), backlog, seconds, NOW)
    assert [(one.container_id, room) for one, room in found] == rooms_of


@pytest.mark.parametrize(
    ("containers", "options", "backlog", "seconds", "nested", "wanted"),
    [
        pytest.param([], {}, 0, None, False, 0, id="nothing to do"),
        pytest.param([], {}, 3, None, False, 3, id="one each"),
        pytest.param([], {}, 300, 0.001, False, 1, id="work that is done before another could start"),
        pytest.param([], {"single_use": True}, 300, 0.001, False, 300, id="but each needs one of its own"),
        pytest.param(["holds=1"] * 2, {}, 3, None, False, 5, id="what runs counts"),
        pytest.param(["holds=1 leaves"], {}, 3, None, False, 4, id="also in one on its way out"),
        pytest.param(["holds=1 waits"], {}, 1, None, False, 2, id="what waits for others' calls counts as running"),
        pytest.param(["holds=1 waits"], {}, 1, 0.001, False, 1, id="and a short input waits for its end"),
        pytest.param(["holds=1 waits"], {}, 1, 0.001, True, 2, id="but not where it may wait for this very one"),
        pytest.param(["holds=1 full=9"], {}, 1, 0.001, False, 2, id="one runs long, though inputs are short"),
        pytest.param(["holds=1 full=9"], {}, 0, 0.001, False, 1, id="which matters only when others wait"),
        pytest.param(["holds=1 full=9 waits"], {}, 1, 0.001, True, 2, id="long and waiting counts once"),
        pytest.param([], {"max_containers": 2}, 9, None, False, 2, id="max_containers"),
    ],
)
def test_how_many_are_wanted(
    containers: list[str], options: dict[str, Any], backlog: int, seconds: float | None, nested: bool, wanted: int
) -> None:
    made = [container(words) for words in containers]
    live = [one for one in made if one.state is not State.DRAINING]
    assert rooms.wanted(made, live, plan(**options), backlog, seconds, nested) == wanted


@pytest.mark.parametrize(
    ("words", "stuck"),
    [
        pytest.param("holds=2 quiet=1", True, id="one waits inside, and nothing has ended for long"),
        pytest.param("holds=2 quiet=0.01", False, id="not for long"),
        pytest.param("holds=1 quiet=1", False, id="nothing waits inside"),
        pytest.param("holds=2 quiet=1 recalled", False, id="asked for back already"),
        pytest.param("holds=2 quiet=1 loading", False, id="it imports its code"),
    ],
)
def test_what_is_stuck_behind_another(words: str, stuck: bool) -> None:
    assert bool(rooms.stuck([container(words)], plan(), NOW)) is stuck


@pytest.mark.parametrize(
    ("beside", "gathers", "stuck"),
    [
        pytest.param("id=b", 1.0, True, id="another is empty, and could begin the batch at once"),
        pytest.param("id=b holds=1", 1.0, False, id="no other is empty"),
        pytest.param("id=b", 0.1, False, id="the batch still gathers"),
    ],
)
def test_what_waits_inside_for_the_end_of_another_batch(beside: str, gathers: float, stuck: bool) -> None:
    waiting = container(f"id=a holds=5 quiet=1 gathers={gathers}", slots=8, batch=4)
    found = rooms.stuck([waiting, container(beside, 8, 4)], plan(batch=4, batch_wait_ms=500), NOW)
    assert [one.container_id for one, _ in found] == (["a"] if stuck else [])


@pytest.mark.parametrize(
    ("containers", "least", "gone"),
    [
        pytest.param(["id=a idle=61", "id=b idle=59"], 0, ["a"], id="idle for the whole window"),
        pytest.param(["id=a idle=61", "id=b idle=90"], 0, ["b", "a"], id="the one idle longest first"),
        pytest.param(["id=a idle=61", "id=b idle=90"], 1, ["b"], id="but for the least there are to be"),
        pytest.param(["id=a idle=61", "id=b holds=1"], 1, ["a"], id="one that is busy is one of these"),
        pytest.param(["id=a idle=61 exec"], 0, [], id="somebody runs a command in it"),
    ],
)
def test_who_has_overstayed(containers: list[str], least: int, gone: list[str]) -> None:
    live = [container(words) for words in containers]
    assert [one.container_id for one in rooms.overstayed(live, plan(), least, NOW)] == gone


def test_those_above_the_most_are_the_emptiest_and_of_these_the_longest_idle() -> None:
    live = [container(words) for words in ("id=a holds=1", "id=b idle=5", "id=c idle=9", "id=d holds=1")]
    assert [one.container_id for one in rooms.above(live, 1)] == ["c", "b", "a"]
    assert rooms.above(live, 4) == rooms.above(live, None) == []


def test_a_container_that_loads_or_is_used_otherwise_does_not_go_for_another_pool() -> None:
    live = [container(words) for words in ("id=a idle=9 loading", "id=b idle=8 exec", "id=c idle=7", "id=d idle=6")]
    found = rooms.idle_longest(live)
    assert found is not None
    assert found.container_id == "c"
    assert rooms.idle_longest(live[:2]) is None


def test_a_plan_says_how_many_inputs_a_container_gets_at_least() -> None:
    assert plan().least_share == 1
    assert plan(batch=8).least_share == 8
