"""Every rpc, every field that names something, every kind of asker: nobody sees or changes another environment.

Generated from the contract: a new rpc or field is covered as soon as it is there, and a field that looks as if it
named something fails the first test until fields.py says what.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.callers import CLOSED, LATE, FramesCaller, GrpcCaller, text_of
from tests.fields import KINDS, PLAIN, name_of, naming, paths_of, put
from tests.fields import Path as Path_
from tests.integration.test_isolation import running
from wherry_proto import messages, services
from wherry_proto.messages import (
    AppOpenRequest,
    AppPublishRequest,
    BlobChunk,
    CallKind,
    CallStart,
    DictEntry,
    DictPutRequest,
    EnvironmentCreateRequest,
    FunctionSpec,
    Hello,
    Input,
    ObjectOpenRequest,
    Payload,
    PoolSettings,
    QueuePutRequest,
    SandboxSpec,
    SandboxState,
    SecretCreateRequest,
    SessionUp,
    SourceFile,
    SourceTree,
    TokenCreateRequest,
    VolumeChunk,
)
from wherry_service.api.rules import Inside
from wherry_service.api.table import RULES
from wherry_service.ids import new_id
from wherry_service.server import Service
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore

# What everything of the other environment is called, and has in it.
MARK = "theirs"
FAULTS = {"INTERNAL", "UNKNOWN", CLOSED}
# Calls that last where they are allowed: how they go on is not looked at.
LASTING = {"Terminals.Offer", "Calls.Values", "Sandboxes.Create", "Containers.Forward"}
NOT_ASKED = {"Server.Stop"}
MALFORMED = itertools.cycle(["x", "../../etc/passwd", "\0", "y" * 3000, "{prefix}-", "{prefix}-" + "!" * 26])


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


class Realm:
    """One of everything in an environment, by the kinds of fields.py."""

    def __init__(self, service: Service, local: GrpcCaller, environment: str, mark: str) -> None:
        self.environment = environment
        self.mark = mark
        self.ids: dict[str, str] = {}
        self._service = service
        self._local = local

    async def ask(self, method: str, *sent: Any) -> Any:
        status, text, found = await self._local.ask(method, sent)
        assert status == "OK", (method, text)
        return found[0]

    async def fill(self) -> None:
        """Make one of everything."""
        mark = self.mark
        ids = self.ids
        ids["environment"], ids["app_name"] = self.environment, f"{mark}-app"
        ids["client"] = new_id("cl")
        opened = AppOpenRequest(name=f"{mark}-app", environment=self.environment, client_id=new_id("cl"), detach=True)
        ids["app"] = (await self.ask("Apps.Open", opened)).app_id
        ids["image"] = "im-" + self.environment[0] * 26
        await self._service.parts.machine.builder.adopt(ids["image"], self.environment)
        self._service.parts.machine.builder._ready[ids["image"]] = "ready"
        data = mark.encode()
        digest = await asyncio.to_thread(_put_content, self._service, data)
        ids["content"] = digest
        tree = SourceTree(files=[SourceFile(path=f"{mark}.py", blob_id=digest, size=len(data))])
        ids["source"] = (await self.ask("Blobs.PutSource", tree)).source_id
        spec = FunctionSpec(
            name=f"{mark}_f",
            module_name="m",
            qualname=f"{mark}_f",
            image_id=ids["image"],
            source_id=ids["source"],
            pool=PoolSettings(max_concurrent_inputs=1),
        )
        published = await self.ask("Apps.Publish", AppPublishRequest(app_id=ids["app"], functions=[spec]))
        ids["function"] = published.functions[0].function_id
        for kind, group in {
            "dict": "Dicts", "queue": "Queues", "volume": "Volumes", "nfs": "NetworkFileSystems"
        }.items():  # fmt: skip
            asked = ObjectOpenRequest(name=f"{mark}-{kind}", environment=self.environment, create=True)
            ids[kind] = (await self.ask(f"{group}.Open", asked)).object_id
        value = Payload(data=data, size=len(data))
        entry = DictEntry(key=b"k", value=value)
        await self.ask("Dicts.Put", DictPutRequest(dict_id=ids["dict"], operation_id=new_id("op"), entries=[entry]))
        await self.ask("Queues.Put", QueuePutRequest(queue_id=ids["queue"], operation_id=new_id("op"), values=[value]))
        for kind in ("volume", "nfs"):
            chunk = VolumeChunk(volume_id=ids[kind], path="file", key="0" * 64, data=data, is_last=True)
            await self.ask("Volumes.Write", chunk)
        secret = SecretCreateRequest(name=f"{mark}-secret", environment=self.environment, values={mark.upper(): mark})
        ids["secret"] = (await self.ask("Secrets.Create", secret)).secret_id
        ids["container"], ids["sandbox"] = new_id("co"), new_id("sb")
        rows = [(1, "", 1, f"a line of {mark}", False)]
        self._service.parts.stores.logs.append(ids["app"], ids["function"], ids["container"], rows, {})
        record = SandboxRecord(
            ids["sandbox"], ids["app"], f"{mark}-app", self.environment, f"{mark}-box", {},
            SandboxSpec(image_id=ids["image"], command=[mark], block_network=True), 1, SandboxState.EXITED,
            ended_at_ms=2,
        )  # fmt: skip
        await SandboxStore(self._service.parts.stores.database).add(record)
        ids["blob"] = new_id("bl")
        await self.ask("Blobs.Put", BlobChunk(blob_id=ids["blob"], data=b"a payload"))
        token = TokenCreateRequest(name=f"{mark}-token", scopes=["invoke"], environments=[self.environment])
        ids["token"] = (await self.ask("Tokens.Create", token)).token.token_id
        ids["operation"] = new_id("op")
        await self._call()

    async def _call(self) -> None:
        ids = self.ids
        ids["call"], ids["input"] = new_id("fc"), new_id("in")
        start = CallStart(call_id=ids["call"], function_id=ids["function"], kind=CallKind.SPAWN)
        item = Input(input_id=ids["input"], call_id=ids["call"], payload=Payload(data=self.mark.encode()))
        said = SessionUp(hello=Hello(client_id=ids["client"], protocol=1), calls=[start], inputs=[item])
        await self._local.ask("Calls.Session", [said], 0.5)
        assert self._service.parts.work.journal.open_input(ids["input"]) is not None

    def of(self, kind: str, method: str) -> str:
        """Return the id of this realm that a field of that kind may have in a method."""
        group = method.partition(".")[0]
        if kind == "object":
            kind = {"Dicts": "dict", "Queues": "queue", "Volumes": "volume", "NetworkFileSystems": "nfs"}[group]
        if kind == "volume" and group == "NetworkFileSystems":
            kind = "nfs"
        if kind == "container" and group == "Execs":
            kind = "sandbox"
        if kind == "blob" and method in ("Blobs.Missing", "Blobs.PutSource", "Images.Ensure"):
            kind = "content"
        return self.ids[kind]

    async def seen(self) -> list[Any]:
        """Return all there is of it, as the service's own user sees it."""
        ids, environment = self.ids, self.environment
        found: list[Any] = []
        for method, request in [
            ("Apps.List", messages.AppListRequest(environment=environment, include_stopped=True)),
            ("Apps.Show", messages.AppShowRequest(app_id=ids["app"])),
            ("Dicts.List", messages.ObjectListRequest(environment=environment)),
            ("Dicts.Scan", messages.DictScanRequest(dict_id=ids["dict"], with_values=True)),
            ("Queues.List", messages.ObjectListRequest(environment=environment)),
            ("Queues.Count", messages.QueueCountRequest(queue_id=ids["queue"], total=True)),
            ("Volumes.List", messages.ObjectListRequest(environment=environment)),
            ("Volumes.Entries", messages.VolumeEntriesRequest(volume_id=ids["volume"], recursive=True)),
            ("Volumes.Read", messages.VolumeReadRequest(volume_id=ids["volume"], paths=["file"])),
            ("NetworkFileSystems.List", messages.ObjectListRequest(environment=environment)),
            ("Volumes.Read", messages.VolumeReadRequest(volume_id=ids["nfs"], paths=["file"])),
            ("Secrets.List", messages.SecretListRequest(environment=environment)),
            ("Sandboxes.List", messages.SandboxListRequest(environment=environment, include_ended=True)),
            ("Logs.Read", messages.LogReadRequest(app_id=ids["app"])),
            ("Images.Show", messages.ImageShowRequest(image_id=ids["image"])),
            ("Schedules.List", messages.ScheduleListRequest(environment=environment)),
            ("Deployments.List", messages.DeploymentListRequest(app_id=ids["app"])),
            ("Calls.Graph", messages.CallGraphRequest(call_id=ids["call"])),
        ]:
            _, _, answers = await self._local.ask(method, [request])
            for answer in answers:
                # Containers come and go while a call waits for one.
                for app in [*getattr(answer, "apps", ()), getattr(answer, "app", None)]:
                    if app is not None:
                        app.num_containers = 0
                for function in getattr(answer, "functions", ()):
                    function.num_containers = 0
            found.append([text_of(answer) for answer in answers])
        tokens = await self.ask("Tokens.List", messages.TokenListRequest(include_revoked=True))
        found.append([token for token in tokens.tokens if token.token_id == ids["token"]])
        call = self._service.parts.work.journal.call(ids["call"])
        item = self._service.parts.work.journal.open_input(ids["input"])
        assert call is not None, "the call was forgotten"
        assert item is not None, "the input has ended"
        found.append((call.num_inputs, call.cancelled, len(call.open), call.num_done, item.done, item.yields_taken))
        found.append({client.client_id for client in call.watchers})
        # A payload goes when it is taken, by whoever was told its id.
        found.append(self._service.parts.stores.blobs.is_here(ids["content"]))
        found.append(self._service.parts.stores.sources.exists(ids["source"]))
        return found


def _put_content(service: Service, data: bytes) -> str:
    blob_id = "sha256:" + hashlib.sha256(data).hexdigest()
    service.parts.stores.blobs.put(blob_id, [data])
    return blob_id


class World:
    """An environment of the askers, with two apps; another; and those who ask."""

    def __init__(self, service: Service, ours: Realm, sibling: Realm, theirs: Realm) -> None:
        self.service = service
        self.ours, self.sibling, self.theirs = ours, sibling, theirs
        self.askers: dict[str, GrpcCaller | FramesCaller] = {}

    async def token(self, *scopes: str) -> GrpcCaller:
        request = TokenCreateRequest(name="asker", scopes=list(scopes), environments=["main"])
        made = await self.ours.ask("Tokens.Create", request)
        tcp = self.service.parts.entrances.door.tcp
        assert tcp is not None
        return GrpcCaller(f"localhost:{tcp.port}", tcp.certificate, made.token.token_id, made.secret)


@contextlib.asynccontextmanager
async def two_environments(tmp_path: Path) -> AsyncIterator[World]:
    state_dir = tmp_path / "s"
    state_dir.mkdir()
    async with running(state_dir) as one:
        service = one.service
        local = GrpcCaller(f"unix:{state_dir / 'wherry.sock'}")
        await local.ask("Environments.Create", [EnvironmentCreateRequest(name=MARK)])
        realms = [
            Realm(service, local, environment, mark)
            for environment, mark in (("main", "ours"), ("main", "sibling"), (MARK, MARK))
        ]
        for realm in realms:
            await realm.fill()
        world = World(service, *realms)
        path = tmp_path / "api.sock"
        guests = await asyncio.get_running_loop().create_unix_server(
            lambda: service.handlers.guests.connect(realms[0].ids["container"], realms[0].ids["app"]), path=str(path)
        )
        world.askers = {
            "a container": FramesCaller(str(path)),
            "invoke": await world.token("invoke"),
            "deploy": await world.token("deploy"),
            "deploy and invoke": await world.token("deploy", "invoke"),
            "admin": await world.token("admin"),
        }
        try:
            yield world
        finally:
            guests.close()
            for caller in (local, *world.askers.values()):
                await caller.close()


def run(tmp_path: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with two_environments(tmp_path) as world:
            await scenario(world)

    asyncio.run(main())


def test_every_field_that_is_a_text_is_known_for_what_it_names() -> None:
    fields = {path[-1].name for method in services.METHODS for path in paths_of(method)}
    assert fields - set(KINDS) - PLAIN == set(), "say in fields.py what these name"
    assert not [name for name in PLAIN if name.endswith(("_id", "_ids"))]
    assert set(KINDS) | PLAIN <= fields | {"blob_ids"}, "these are in no request any more"


def test_what_a_container_may_ask_is_a_part_of_what_a_caller_may() -> None:
    for name, rule in RULES.items():
        if rule.inside is Inside.ENVIRONMENT:
            assert "invoke" in rule.scopes, name


def request_for(method: str, path: Path_, realm: Realm) -> Any:
    """Return a request that would do something, every id in it of that realm."""
    request = getattr(messages, services.METHODS[method].request)()
    changed = {name_of(other).partition(".")[2] for other in [path] if other}
    for name, value in {
        "key": b"k", "data": b"x", "path": "file", "paths": ["file"], "count": 1, "force": True, "is_last": True,
        "values": [Payload(data=b"x", size=1)], "entries": [DictEntry(key=b"k", value=Payload(data=b"x", size=1))],
        "destination": "copy", "sources": ["file"], "all": True, "scopes": ["invoke"], "positions": [1], "total": True,
    }.items():  # fmt: skip
        if hasattr(request, name):
            setattr(request, name, value)
    if method == "Volumes.Write":
        request.key = "1" * 64
    if method == "Secrets.Create":
        request.values = {"A": "b"}
    if method == "Functions.Update":
        request.pool, request.fields = PoolSettings(max_containers=7), ["max_containers"]
    if method == "Functions.Bind":
        request.fields = sorted({one.partition(".")[0] for one in changed if one})
    for other in naming(method):
        kind = KINDS[other[-1].name]
        if len(other) == 1 and kind not in ("client", "operation", "environment", "app_name"):
            put(request, other, realm.of(kind, method))
        elif len(other) == 1 and kind in ("client", "operation"):
            put(request, other, new_id({"client": "cl", "operation": "op"}[kind]))
    if method == "Execs.Run":
        request.start = messages.ExecStart(container_id=realm.ids["sandbox"], args=["true"])
    if method == "Sandboxes.Create":
        request.sandbox_id = new_id("sb")
        request.spec = SandboxSpec(image_id=realm.ids["image"], command=["true"], timeout_s=1, block_network=True)
    return request


def values_for(kind: str, method: str, theirs: Realm) -> list[tuple[str, str]]:
    known = theirs.of(kind, method)
    prefix = known.partition("-")[0]
    if kind == "content" or known.startswith("sha256:"):
        unknown = "sha256:" + "1" * 64
    elif known.startswith("im-"):
        unknown = "im-" + "b" * 26
    elif known.startswith("so-"):
        unknown = "so-" + "0" * 26
    elif kind in ("environment", "app_name"):
        unknown = known.replace("s", "z")
    else:
        unknown = new_id(prefix)
    # One after the other, from field to field.
    malformed = next(MALFORMED).replace("{prefix}", prefix)
    return [("unknown", unknown), ("theirs", known), ("empty", ""), ("malformed", malformed)]


def cleared(request: Any, path: Path_) -> None:
    """Leave out what is looked at before a field: with an id, names are not looked at."""
    name = path[0].name
    before = {
        "environment": ("app_id", "object_id", "secret_id", "sandbox_id", "function_id", "container_id", "image_id"),
        "app_name": ("app_id", "sandbox_id", "function_id", "container_id"),
        "app_id": ("object_id", "secret_id"),
    }
    for other in before.get(name, ()) if len(path) == 1 else ():
        if hasattr(request, other):
            setattr(request, other, "")


def test_nobody_sees_or_changes_what_is_in_another_environment(tmp_path: Path) -> None:
    cells: list[int] = []

    async def scenario(world: World) -> None:
        theirs = world.theirs
        words = [MARK.encode(), *(known.encode() for kind, known in theirs.ids.items() if kind != "environment")]
        before = await theirs.seen()
        wrong: list[Any] = []
        for method in sorted(set(services.METHODS) - NOT_ASKED - {"Calls.Session"}):
            for path in naming(method):
                kind = KINDS[path[-1].name]
                unknown: dict[str, Any] = {}
                for whose, value in values_for(kind, method, theirs):
                    for asker, caller in world.askers.items():
                        request = request_for(method, path, world.ours)
                        cleared(request, path)
                        put(request, path, value)
                        echoed = text_of(request).lower()
                        answer = await caller.ask(method, [request], 0.5 if method in LASTING else 5.0)
                        cells.append(1)
                        status, text, found = answer
                        where = (asker, method, name_of(path), whose, value[:40], status, text[:200])
                        if status in FAULTS or (status == LATE and method not in LASTING):
                            wrong.append(("no answer", *where))
                        said = b"\0".join(text_of(message) for message in found).lower()
                        told = [word for word in words if word in said and word not in echoed]
                        if told:
                            wrong.append(("told", told, *where))
                        if whose == "unknown":
                            unknown[asker] = alike(answer, value)
                        elif whose == "theirs" and kind not in CAPABILITIES and alike(answer, value) != unknown[asker]:
                            # Word for word as what is nobody's; only what a name stands for may be refused.
                            wrong += [("not as unknown", unknown[asker], *where)] * (status != "PERMISSION_DENIED")
            if (after := await theirs.seen()) != before:
                changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
                wrong.append(("changed", method, changed))
                before = after
        assert not wrong, "\n".join(str(line)[:700] for line in wrong[:80])

    run(tmp_path, scenario)
    assert len(cells) > 3000


# Random ids that are told to those alone who may use what they stand for, and name no environment's object.
CAPABILITIES = {"blob", "client", "operation"}
_ID = re.compile(rb"\b(?!st-)[a-z]{2}-[0-9A-Za-z]{26}\b")
_TIME = re.compile(rb"1[78]\d{11}")


def alike(answer: Any, value: str) -> Any:
    """Return an answer without what differs from one request to the next: the value asked for, new ids, times."""
    status, text, found = answer
    # Near names are of the asker's own environment, and depend on the name that was asked for.
    texts = [
        re.split("; (?:did you mean|there are|there is) ", text)[0].encode(errors="replace"),
        *(text_of(message) for message in found),
    ]
    quoted = json.dumps(value)[1:-1].encode()
    return status, [_TIME.sub(b"TIME", _ID.sub(b"ID", one.replace(quoted, b"VALUE"))) for one in texts]
