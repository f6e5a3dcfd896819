"""Handles on what the service has: by name and id under each generation's names, `hydrate`, `.aio` of each method."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import wherry
from tests.fakes.service import FAKE_ID, FakeService
from wherry import App, Cls, Dict, Function, FunctionCall, NetworkFileSystem, Queue, Secret, Volume
from wherry._base.object import Object, given
from wherry._connection.client import Client
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry_proto.messages import Message, ObjectInfo, ObjectOpenRequest, SecretInfo

OF_ID = (
    (Volume, "volume_id", "vo"),
    (Dict, "dict_id", "di"),
    (Queue, "queue_id", "qu"),
    (NetworkFileSystem, "nfs_id", "sv"),
    (Secret, "secret_id", "st"),
    (FunctionCall, "function_call_id", "fc"),
)


class Objects(FakeService):
    """Knows the objects named "known", and those of ids."""

    def _open(self, request: Message) -> ObjectInfo:
        assert isinstance(request, ObjectOpenRequest)
        if request.name not in ("", "known"):
            raise NotFoundError(f"there is no {request.name}")
        return ObjectInfo(object_id=request.object_id or "xx-1")

    _volumes_open = _dicts_open = _queues_open = _networkfilesystems_open = _open

    def _secrets_lookup(self, request: Any) -> SecretInfo:
        if request.name not in ("", "known"):
            raise NotFoundError(f"there is no {request.name}")
        return SecretInfo(secret_id=request.secret_id or "st-1")


@pytest.fixture
def service() -> FakeService:
    return Objects()


@pytest.mark.parametrize(("kind", "parameter", "prefix"), OF_ID)
def test_from_id_has_its_newer_and_its_older_name(kind: Any, parameter: str, prefix: str, client: Client) -> None:
    object_id = f"{prefix}-{FAKE_ID}1"
    for found in (
        kind.from_id(object_id),
        kind.from_id(**{parameter: object_id}),
        kind.from_id(object_id=object_id, client=client),
        kind.from_id(object_id, client),
    ):
        assert found.object_id == object_id
        assert found.is_hydrated
    with pytest.raises(InvalidError, match=f"{kind.__name__}.from_id needs {parameter}="):
        kind.from_id()
    with pytest.raises(InvalidError, match="names of one parameter"):
        kind.from_id(object_id, object_id=object_id)


@pytest.mark.parametrize("kind", [Volume, Dict, Queue, NetworkFileSystem, Secret])
def test_hydrate_looks_for_what_a_handle_stands_for(kind: Any, client: Client) -> None:
    known = kind.from_name("known")
    assert not known.is_hydrated
    assert known.hydrate() is known
    assert known.is_hydrated
    assert asyncio.run(kind.from_name(name="known", client=client).hydrate.aio()).is_hydrated
    with pytest.raises(NotFoundError, match="there is no unknown"):
        kind.from_name("unknown").hydrate(client)


def test_hydrate_asks_whether_an_object_of_an_id_exists(service: FakeService, client: Client) -> None:
    assert Volume.from_id(f"vo-{FAKE_ID}1").hydrate(client).object_id == f"vo-{FAKE_ID}1"
    assert [method for method, _ in service.requests] == ["Volumes.Open"]
    Secret.from_id(f"st-{FAKE_ID}1").hydrate(client)
    assert service.requests[-1][0] == "Secrets.Lookup"


def test_functions_and_classes_hydrate(running: Callable[..., Any], service: FakeService, client: Client) -> None:
    handle = App("idle").function(serialized=True)(lambda: 1)
    assert not handle.is_hydrated
    with pytest.raises(ExecutionError, match="idle is not running"):
        handle.hydrate()

    def f(x: int) -> int:
        return x + 1

    made = running(f)
    assert made.is_hydrated
    assert made.hydrate() is made
    for found in (
        Function.from_name("test", name=made.name, client=client),
        Function.from_name(app_name="test", tag=made.name),
        Function.lookup("test", name=made.name, client=client),
        asyncio.run(Function.lookup.aio("test", tag=made.name)),
    ):
        assert found.hydrate().is_hydrated
        assert found.remote(1) == 2
    with pytest.raises(NotFoundError):
        Function.from_name("test", "nobody").hydrate()
    with pytest.raises(NotFoundError, match="is a function, and no class"):
        Cls.from_name("test", name=made.name).hydrate()


def test_an_object_scales_its_own_containers(service: FakeService, client: Client) -> None:
    app = App("objects")

    @app.cls(serialized=True)
    class Model:
        size: int = wherry.parameter(default=1)

        @wherry.method()
        def run(self) -> int:
            return self.size

    service.functions["Model"] = Model
    with app.run(client=client):
        Model(size=3).update_autoscaler(min_containers=1, buffer_containers=2)  # type: ignore[attr-defined]
        asyncio.run(Model(size=3).update_autoscaler.aio(max_containers=5))  # type: ignore[attr-defined]
        Model().keep_warm(2)  # type: ignore[attr-defined]
    updates: list[Any] = [request for method, request in service.requests if method == "Functions.Update"]
    assert [update.fields for update in updates] == [
        ["min_containers", "buffer_containers"],
        ["max_containers"],
        ["min_containers"],
    ]
    first, second, base = (update.function_id for update in updates)
    assert first == second != base


def test_every_form_of_the_reference_has_aio() -> None:
    made = [App("x"), Volume.from_name("v"), wherry.Image.debian_slim(), FunctionCall(f"fc-{FAKE_ID}1")]
    app, volume, image, call = made
    forms: list[Any] = [
        app.deploy, app.run, App.lookup, App.deploy, App.run, volume.batch_upload, image.build, call.iter, call.get,
        FunctionCall.gather, FunctionCall.from_id, FunctionCall.get, FunctionCall.iter, wherry.gather, wherry.interact,
        Volume.ephemeral, Dict.ephemeral, Queue.ephemeral, NetworkFileSystem.ephemeral, wherry.Image.from_id,
        Function.remote, Function.map, Function.hydrate,
    ]  # fmt: skip
    assert [form for form in forms if not callable(getattr(form, "aio", None))] == []


def test_methods_can_be_called_on_their_class(running: Callable[..., Any]) -> None:
    made = running(lambda x: x + 1)
    assert Function.remote(made, 1) == 2
    assert asyncio.run(Function.remote.aio(made, 2)) == 3
    assert list(Function.map(made, [1, 2])) == [2, 3]

    async def mapped() -> list[Any]:
        return [value async for value in Function.map.aio(made, [1])]

    assert asyncio.run(mapped()) == [2]


class FakeWatch:
    """Shows a call of three inputs."""

    is_generator = False

    def __enter__(self) -> "FakeWatch":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing is open."""

    def num_inputs(self) -> int:
        return 3

    def get(self, timeout: float | None, index: int) -> int:
        return index * 10


def test_values_of_a_call_are_iterated_in_both_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionCall, "watch", lambda self: FakeWatch())
    call = FunctionCall(f"fc-{FAKE_ID}1")
    assert list(call.iter()) == [0, 10, 20]
    assert list(call.iter(1, 2)) == [10]
    assert next(call.iter(2)) == 20

    async def iterated() -> list[Any]:
        return [value async for value in call.iter.aio(start=1)]

    assert asyncio.run(iterated()) == [10, 20]


def test_app_run_has_aio(service: FakeService, client: Client) -> None:
    app = App("awaited")
    service.functions["f"] = lambda: 7
    f = app.function(name="f", serialized=True)(lambda: 7)

    async def main() -> int:
        async with app.run.aio(client=client):
            return await f.remote.aio()

    assert asyncio.run(main()) == 7


def test_one_name_of_a_parameter_is_given() -> None:
    assert given("F.x", new="a", old=None) == "a"
    with pytest.raises(InvalidError, match=r"F\.x needs new="):
        given("F.x", new=None, old=None)
    with pytest.raises(InvalidError, match="got new and old"):
        given("F.x", new="a", old="b")
    with pytest.raises(InvalidError, match="got old=3: it takes a string"):
        given("F.x", new=None, old=3)


def test_all_objects_have_it() -> None:
    kinds = (App, Cls, Dict, Function, FunctionCall, wherry.Image, NetworkFileSystem, Queue, Secret, Volume)
    assert [kind for kind in kinds if not issubclass(kind, Object) and kind is not App] == []
    assert inspect.getdoc(Volume.hydrate)


def test_in_a_container_what_its_functions_have_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("wherry.function", "wherry.image", "wherry._objects.shared"):
        monkeypatch.setattr(f"{place}.is_local", lambda: False)
    app = App("inside")
    image, volume, other = wherry.Image.debian_slim(), Volume.from_name("v"), Volume.from_name("other")
    f = app.function(image=image, volumes={"/v": volume}, serialized=True)(lambda: 1)

    @app.cls(serialized=True)
    class Model:
        @wherry.method()
        def run(self) -> None: ...

    for own in (f, Model, image, volume):
        assert own.is_hydrated  # type: ignore[attr-defined]
    for looked_up in (Function.from_name("a", "f"), Cls.from_name("a", "C"), other, Queue.from_name("q")):
        assert not looked_up.is_hydrated
