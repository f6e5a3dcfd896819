"""What the service has its webhook told of."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fakes.apps import no_secrets
from tests.fakes.calls import Paper
from tests.fakes.engine import FakeEngine
from tests.fakes.node import no_buckets, no_guests, no_web
from tests.unit.service.test_deployments import Run, run, spec
from tests.unit.service.test_deployments import World as Deploying
from wherry_proto.messages import ScheduledRun, ScheduledState, ScheduleInfo
from wherry_service.apps.plans import plan_of
from wherry_service.assembly import Parts
from wherry_service.calls.client import Clients
from wherry_service.calls.requests import RequestLog
from wherry_service.engines.containment import Containment
from wherry_service.logs.masks import Masks
from wherry_service.node.events import ContainerEvents, ContainerExit, Hearer
from wherry_service.node.local import LocalNode
from wherry_service.notify.notifier import Notifier
from wherry_service.notify.settings import NotifySettings
from wherry_service.store.blobs import BlobStore
from wherry_service.store.failed_inputs import Failed
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore
from wherry_service.watchman import Watchman

__all__ = ["run"]


async def ready(image_id: str) -> str:
    return "image"


class Ends(ContainerEvents[str]):
    """Hears that a container has ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def on_exit(self, container: str, exit: ContainerExit) -> None:
        self.ended.set()


class World:
    """A watchman, with all that it listens to."""

    def __init__(self, state_dir: Path, **settings: Any) -> None:
        self.told: list[tuple[str, str, str, dict[str, Any]]] = []
        self.masks = Masks()
        self.schedules: list[ScheduleInfo] = []
        self.on_failed: list[Any] = []
        self.on_crash_loop: list[Any] = []
        self.on_inputs: list[Any] = []
        # This host's own disk is no matter, unless a test says so.
        notifier = Notifier(NotifySettings("http://127.0.0.1:9/", **{"disk_free": 0.0, **settings}))
        notifier.begin = lambda: None  # type: ignore[method-assign]
        notifier.tell = self._tell  # type: ignore[method-assign]
        self.record = SimpleNamespace(app_id="ap-1", name="shop", environment="main")
        app = SimpleNamespace(record=self.record)
        register = SimpleNamespace(is_running=lambda app_id: app_id == "ap-1", running=lambda app_id: app)
        parts = SimpleNamespace(
            basics=SimpleNamespace(notifier=notifier, state_dir=state_dir),
            stores=SimpleNamespace(masks=self.masks),
            work=SimpleNamespace(
                schedules=SimpleNamespace(all=self._all),
                dispatcher=SimpleNamespace(on_crash_loop=self.on_crash_loop),
                failures=SimpleNamespace(on_failed=self.on_inputs),
            ),
            published=SimpleNamespace(
                deployments=SimpleNamespace(on_failed=self.on_failed), apps=SimpleNamespace(register=register)
            ),
        )
        self.watchman = Watchman(cast("Parts", parts))

    def _tell(self, event: str, subject: str, text: str, facts: dict[str, Any] | None = None) -> None:
        self.told.append((event, subject, text, dict(facts or {})))

    async def _all(self) -> list[ScheduleInfo]:
        return self.schedules

    def look(self) -> None:
        asyncio.run(self.watchman._look_at_schedules())
        self.watchman._look_at_disk()


def ran(ended_ms: int, state: int, error: str = "", function_id: str = "fu-1") -> ScheduleInfo:
    last = ScheduledRun(tick_ms=ended_ms, finished_at_ms=ended_ms, call_id="fc-1", state=state, error=error)
    return ScheduleInfo(function_id=function_id, function_name="report", app_id="ap-1", last_ended=last)


def test_a_scheduled_run_that_fails_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    # What failed before the service began is known already.
    world.schedules = [ran(1000, ScheduledState.FAILED, "old"), ScheduleInfo(function_id="fu-2", app_id="ap-1")]
    world.look()
    world.look()
    assert world.told == []
    world.schedules = [ran(2000, ScheduledState.SUCCEEDED)]
    world.look()
    assert world.told == []
    world.masks.add("ap-1", ["hunter22"])
    world.schedules = [ran(3000, ScheduledState.FAILED, "ValueError: the password is hunter22\nand more")]
    world.look()
    world.look()
    facts = {
        "app_id": "ap-1",
        "app": "shop",
        "environment": "main",
        "function": "report",
        "call_id": "fc-1",
        "error": "ValueError: the password is ****",
    }
    assert world.told == [("schedule_failed", "fu-1", "A scheduled run of function report failed.", facts)]
    # One whose first run fails, too.
    world.schedules.append(ran(3500, ScheduledState.SKIPPED, "full", "fu-3"))
    world.look()
    assert world.told[1][:3] == ("schedule_failed", "fu-3", "A scheduled run of function report was not started.")


def test_deploys_and_crash_loops_are_told_with_their_first_line(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.watchman.begin()
    world.masks.add("ap-1", ["hunter22"])
    app = SimpleNamespace(record=world.record)
    world.on_failed[0](app, "function 'f' could not start: KeyError: hunter22\nTraceback")
    # Of a function and a variant of it, which has an id of its own.
    plan = SimpleNamespace(function_id="fu-1", name="f", load=SimpleNamespace(app_id="ap-1"))
    variant = SimpleNamespace(function_id="fu-2", name="f", load=SimpleNamespace(app_id="ap-1"))
    world.on_crash_loop[0](SimpleNamespace(plan=variant), "it exited with code 1")
    world.on_crash_loop[0](SimpleNamespace(plan=plan), "it exited with code 1\nIts last output:\nhunter22")
    (deploy, of_variant, crash) = world.told
    assert deploy[:2] == ("deploy_failed", "ap-1")
    assert deploy[3]["error"] == "function 'f' could not start: KeyError: ****"
    assert crash[:2] == of_variant[:2] == ("crash_loop", "ap-1 f")
    assert (crash[3]["function"], crash[3]["error"]) == ("f", "it exited with code 1")


def test_secrets_that_a_container_was_given_are_masked_when_it_has_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.watchman.begin()

    async def scenario() -> None:
        engine, blobs = FakeEngine({}), BlobStore(tmp_path / "blobs")
        node = LocalNode(
            engine, tmp_path / "run", blobs, SourceStore(tmp_path / "sources", blobs),
            VolumeStore(tmp_path / "volumes"), no_buckets(engine, tmp_path), world.masks, Containment(),
            starts_at_once=4, connect_guest=no_guests, connect_web=no_web,
        )  # fmt: skip
        plan = plan_of("ap-1", "fu-1", spec("f"), ready, no_secrets, lambda: ("shop", "main"))
        order = replace(await plan.make_order("co-1"), secrets={"PASSWORD": "hunter22"})
        events = Ends()
        node.start(order, Hearer("co-1", events, events))
        await asyncio.wait_for(events.ended.wait(), 5)
        await node.close()
        await engine.close()
        assert world.masks.values("co-1") == []
        world.on_crash_loop[0](SimpleNamespace(plan=plan), "KeyError: hunter22")
        assert world.told[0][3]["error"] == "KeyError: ****"
        paper = Paper()
        dispatcher = SimpleNamespace(queue=lambda function_id: None)
        log = RequestLog(paper, world.masks, cast("Any", dispatcher), Clients())
        log.note("ap-1", "fu-1", "GET", b"/hunter22", False, 200, None, 0.01)
        log.close()
        assert [row[3] for batch in paper.batches for row in batch.rows] == ["GET /**** → 200 (10 ms)"]

    asyncio.run(scenario())


def test_a_low_disk_is_told_once_until_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, disk_free=10.0)
    for free, told in ((50, 0), (9, 1), (8, 1), (11, 1), (9, 1), (13, 1), (9, 2)):
        usage = SimpleNamespace(total=100, free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        world.look()
        assert len(world.told) == told, free
    assert world.told[0] == (
        "disk_low",
        "",
        "The disk of the Wherry service is nearly full: 9.0 % are free.",
        {"free_bytes": 9, "free_percent": 9.0},
    )
    never = World(tmp_path, disk_free=0.0)
    never.look()
    assert never.told == []


def test_a_restart_is_told_and_whether_the_life_before_was_killed(tmp_path: Path) -> None:
    first = World(tmp_path)
    first.watchman.begin()
    assert first.told == []
    # It was killed.
    second = World(tmp_path)
    second.watchman.begin()
    assert [(event, facts["was_killed"]) for event, _, _, facts in second.told] == [("service_restarted", True)]
    second.watchman.close()
    third = World(tmp_path)
    third.watchman.begin()
    assert [(event, facts["was_killed"]) for event, _, _, facts in third.told] == [("service_restarted", False)]


def test_who_deploys_says_that_a_version_did_not_start(run: Run) -> None:
    async def scenario(world: Deploying) -> None:
        app_id = await world.open()
        heard: list[tuple[str, str]] = []
        world.deployments.on_failed.append(lambda app, error: heard.append((app.record.app_id, error)))
        await world.deploy(app_id, spec("f"))
        world.node.broken.add("bad")
        await world.deploy(app_id, spec("g", 2, qualname="bad"))
        assert heard == [(app_id, "function 'g' could not start: ImportError: no such module")]

    run(scenario)


def test_inputs_that_fail_are_told_together_with_what_shows_them(tmp_path: Path) -> None:
    def failed(number: int, function: str = "f", app_id: str = "ap-1") -> Failed:
        return Failed(f"in-{number}", app_id, 1, 1, f"ValueError: row {number}", 1, True, function)

    world = World(tmp_path)
    world.watchman.begin()
    (hear,) = world.on_inputs
    hear([failed(1), failed(2)])
    hear([failed(number) for number in range(3, 30)])
    hear([failed(30, "Room.area")])
    assert world.told == []
    world.watchman._tell_of_inputs()
    many, one = world.told
    assert many[:3] == ("inputs_failed", "ap-1 f", "29 inputs of function f failed, spawned or scheduled ones.")
    assert many[3]["input_ids"] == [f"in-{number}" for number in range(1, 21)]
    assert (many[3]["count"], many[3]["app"], many[3]["error"]) == (29, "shop", "ValueError: row 1")
    assert many[3]["command"] == "wherry call list --failed --app shop --function f"
    assert one[3]["command"] == "wherry call show in-30"
    world.told.clear()
    world.record.environment = "prod"
    hear([failed(31)])
    world.watchman._tell_of_inputs()
    assert world.told[0][3]["command"] == "wherry call show in-31 -e prod"
    world.watchman._tell_of_inputs()
    assert len(world.told) == 1


def test_nothing_is_gathered_for_a_webhook_that_does_not_want_it(tmp_path: Path) -> None:
    world = World(tmp_path, events=("disk_low",))
    world.watchman.begin()
    world.on_inputs[0]([Failed("in-1", "ap-1", 1, 1, "", 1, True, "f")])
    world.watchman._tell_of_inputs()
    assert world.told == []
