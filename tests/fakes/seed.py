"""Data for pages to show, put into a service that runs on a fake engine: as if it had worked for a while."""

import random
import time
from typing import Any

from wherry_proto.messages import (
    AppOpenRequest,
    AppPublishRequest,
    CallKind,
    DictEntry,
    DictPutRequest,
    EnvironmentCreateRequest,
    FunctionSpec,
    Hello,
    ObjectOpenRequest,
    Payload,
    PoolSettings,
    QueuePutRequest,
    RecordState,
    SandboxSpec,
    SandboxState,
    ScheduleSpec,
    SecretCreateRequest,
    SessionUp,
    TokenCreateRequest,
)
from wherry_service.api.callers import ask
from wherry_service.ids import new_id
from wherry_service.records.lanes import Seen, Transition
from wherry_service.records.rows import Attempt
from wherry_service.server import Service
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore

IMAGE = "im-" + "a" * 26
FUNCTIONS = {
    "census": ("count_words", "collect", "nightly"),
    "thumbnails": ("resize", "Model"),
    "invoices": ("render", "send"),
}
# Of each function.
CONTAINERS = 29
ERRORS = (
    "ValueError: row 17 has no column 'amount'",
    "requests.exceptions.ConnectionError: the payment service does not answer",
    "KeyError: 'customer_id'",
)
TRACEBACK = """Traceback (most recent call last):
  File "/app/census.py", line 21, in count_words
    rows = [parse(line) for line in text.splitlines()]
  File "/app/census.py", line 12, in parse
    raise ValueError(f"row {number} has no column 'amount'")
ValueError: row 17 has no column 'amount'
"""


async def seed(service: Service, calls: int) -> None:
    """Put in apps with functions, so many ended inputs of each app together, lines, and one of everything else."""
    chance = random.Random(7)
    caller = service.handlers.callers.local()

    async def tell(name: str, request: Any) -> Any:
        return await ask(caller, name, request)

    builder = service.parts.machine.builder
    await builder.adopt(IMAGE, "main")
    builder._ready[IMAGE] = "ready"
    for name in ("staging", "research"):
        await tell("Environments.Create", EnvironmentCreateRequest(name=name))
    # Whose apps these are: it stays.
    session = service.parts.entrances.sessions.begin(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)))
    session.client.attach(lambda: None)
    functions: list[tuple[str, str, str]] = []
    for app, names in FUNCTIONS.items():
        opening = AppOpenRequest(name=app, environment="main", client_id=session.client.client_id)
        opened = await tell("Apps.Open", opening)
        specs = [
            FunctionSpec(
                name=name,
                module_name=app,
                qualname=name,
                image_id=IMAGE,
                pool=PoolSettings(max_concurrent_inputs=1, max_containers=20, scaledown_window_s=60),
                timeout_s=300,
                schedule=ScheduleSpec(cron="0 3 * * *") if name == "nightly" else None,
            )
            for name in names
        ]
        published = await tell("Apps.Publish", AppPublishRequest(app_id=opened.app_id, functions=specs))
        functions += [(opened.app_id, info.function_id, info.name) for info in published.functions]
    _records(service, functions, calls, chance)
    _lines(service, functions)
    await _others(service, tell)


def _records(service: Service, functions: list[tuple[str, str, str]], calls: int, chance: random.Random) -> None:
    recorded, now = service.parts.work.recorded, int(time.time() * 1000)
    containers = {function_id: [new_id("co") for _ in range(CONTAINERS)] for _, function_id, _ in functions}
    by_function: dict[str, list[Any]] = {}
    busy: dict[str, list[tuple[int, int]]] = {}
    for index in range(calls):
        _, function_id, name = functions[index % len(functions)]
        queued = now - (calls - index) * 200 - 1000
        started = queued + chance.randint(5, 900)
        ended = min(started + int(chance.lognormvariate(7, 1)), now)
        draw = chance.random()
        state = RecordState.FAILED if draw < 0.04 else RecordState.TIMEOUT if draw < 0.05 else RecordState.SUCCEEDED
        input_id = new_id("in")
        kind = CallKind.SCHEDULE if name == "nightly" else CallKind.MAP if index % 3 else CallKind.SPAWN
        container = containers[function_id][(index // len(functions)) % CONTAINERS]
        busy.setdefault(container, []).append((started, ended))
        retries = 1 if state == RecordState.FAILED else 0
        facts = (new_id("fc"), kind, "", 0)
        sizes = chance.randint(40, 90_000), chance.randint(10, 4000)
        row = (queued, input_id, facts, 0, "", started, ended, container, retries, 0, *sizes, state)
        by_function.setdefault(function_id, []).append(row)
        if state != RecordState.SUCCEEDED:
            story = recorded.records.story(function_id, input_id)
            story.error = "timed out after 300 s" if state == RecordState.TIMEOUT else chance.choice(ERRORS)
            if retries:
                first = containers[function_id][0]
                story.attempts.append(Attempt(first, started - 300, started - 60, RecordState.FAILED, story.error))
    seen = []
    for app_id, function_id, name in functions:
        rows = by_function.get(function_id, [])
        recorded.records.add(recorded.records.function(function_id, app_id, name), rows, now)
        seen += [
            Seen(one, function_id, _states(busy[one], number))
            for number, one in enumerate(containers[function_id])
            if one in busy
        ]
    # As if they were there now: a fake engine runs nothing.
    recorded.lanes._live = lambda: seen


def _states(inputs: list[tuple[int, int]], number: int) -> list[Transition]:
    """Return the states of a container that ran these."""
    begin = inputs[0][0]
    states = [
        Transition("creating", begin - 2600),
        Transition("starting", begin - 1900),
        Transition("idle", begin - 300),
    ]
    until = begin
    for started, ended in inputs:
        if started > until:
            states += [Transition("idle", until), Transition("busy", started)]
        elif started == begin:
            states.append(Transition("busy", started))
        until = max(until, ended)
    states.append(Transition("idle", until))
    if number % 9 == 8:
        states.append(Transition("draining", until + 200))
    return states


def _lines(service: Service, functions: list[tuple[str, str, str]]) -> None:
    logs, now = service.parts.stores.logs, int(time.time() * 1000)
    for app_id, function_id, name in functions:
        container_id = new_id("co")
        rows = [
            (
                1 if number % 7 else 2,
                "",
                now - 60_000 + number * 900,
                f"{name}: chunk {number} of 40 done, {number * 1280:,} rows",
                False,
            )
            for number in range(1, 41)
        ]
        logs.append(app_id, function_id, container_id, rows, {})


async def _others(service: Service, tell: Any) -> None:
    for group, names in (("Dicts", ("sessions", "prices")), ("Queues", ("jobs",)), ("Volumes", ("models", "uploads"))):
        for name in names:
            opened = await tell(f"{group}.Open", ObjectOpenRequest(name=name, environment="main", create=True))
            if group == "Dicts":
                entries = [DictEntry(key=str(n).encode(), value=Payload(data=b"x")) for n in range(12)]
                await tell(
                    "Dicts.Put", DictPutRequest(dict_id=opened.object_id, operation_id=new_id("op"), entries=entries)
                )
            elif group == "Queues":
                values = [Payload(data=b"x") for _ in range(37)]
                await tell(
                    "Queues.Put", QueuePutRequest(queue_id=opened.object_id, operation_id=new_id("op"), values=values)
                )
    for name, keys in (("payments", ("API_KEY", "API_URL")), ("database", ("PASSWORD",))):
        values = dict.fromkeys(keys, "seeded-secret-value")
        await tell("Secrets.Create", SecretCreateRequest(name=name, environment="main", values=values))
    await tell("Tokens.Create", TokenCreateRequest(name="ci", scopes=["deploy", "invoke"], environments=["main"]))
    now = int(time.time() * 1000)
    for name, state in (("box", SandboxState.EXITED), ("lint", SandboxState.TIMED_OUT)):
        spec = SandboxSpec(image_id=IMAGE, command=["python", "-m", name])
        record = SandboxRecord(
            new_id("sb"), "", "", "main", name, {}, spec, now - 60_000, state, ended_at_ms=now - 9000
        )
        await SandboxStore(service.parts.stores.database).add(record)
