"""`Dict.objects` and the like: objects of an environment by name; and what there is to know of one."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

import wherry.dict
import wherry.queue
import wherry.secret
import wherry.volume
from tests.fakes.service import FakeService
from wherry import Dict, NetworkFileSystem, Queue, Secret, Volume
from wherry._connection.client import Client
from wherry._objects import infos
from wherry.exception import AlreadyExistsError, InvalidError, NotFoundError
from wherry_proto.messages import (
    Message,
    ObjectDeleteRequest,
    ObjectInfo,
    ObjectListRequest,
    ObjectListResponse,
    ObjectOpenRequest,
    SecretCreateRequest,
    SecretDeleteRequest,
    SecretInfo,
    SecretListRequest,
    SecretListResponse,
    SecretLookupRequest,
)

BEGAN_MS = 1_700_000_000_000
DAY_MS = 86_400_000
KINDS = {"Dicts": "di", "Queues": "qu", "Volumes": "vo", "NetworkFileSystems": "sv"}


class WithObjects(FakeService):
    """Also keeps objects and secrets by name; each is a day younger than the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[tuple[str, str, str], ObjectInfo] = {}
        self.secrets: dict[str, tuple[SecretInfo, dict[str, str]]] = {}

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        service, _, verb = method.partition(".")
        if service not in KINDS:
            return super().call(method, request, timeout)
        answer: Message = getattr(self, f"_{verb.lower()}")(service, request)
        return answer

    def _open(self, service: str, request: ObjectOpenRequest) -> ObjectInfo:
        for info in self.objects.values():
            if info.object_id == request.object_id:
                return info
        key = (service, request.environment, request.name)
        if key not in self.objects:
            if not request.create:
                raise NotFoundError(f"there is no {request.name}")
            number = len(self.objects)
            self.objects[key] = ObjectInfo(
                object_id=f"{KINDS[service]}-{number:026}",
                name=request.name,
                environment=request.environment,
                created_at_ms=BEGAN_MS + number * DAY_MS,
            )
        return self.objects[key]

    def _list(self, service: str, request: ObjectListRequest) -> ObjectListResponse:
        found = [i for (kind, env, _), i in self.objects.items() if (kind, env) == (service, request.environment)]
        return ObjectListResponse(objects=found)

    def _delete(self, service: str, request: ObjectDeleteRequest) -> ObjectInfo:
        key = next(key for key, info in self.objects.items() if info.object_id == request.object_id)
        return self.objects.pop(key)

    def _secrets_create(self, request: SecretCreateRequest) -> SecretInfo:
        info, values = self.secrets.get(request.name, (None, {}))
        if info is None:
            number = len(self.secrets)
            info = SecretInfo(
                secret_id=f"st-{number:026}",
                name=request.name,
                environment=request.environment,
                created_at_ms=BEGAN_MS + number * DAY_MS,
            )
        values = {**(values if request.merge else {}), **request.values}
        info.keys = list(values)
        self.secrets[request.name] = info, values
        return info

    def _secrets_lookup(self, request: SecretLookupRequest) -> SecretInfo:
        for info, _ in self.secrets.values():
            if request.secret_id == info.secret_id or request.name == info.name:
                return info
        raise NotFoundError(f"there is no secret {request.name}")

    def _secrets_list(self, request: SecretListRequest) -> SecretListResponse:
        return SecretListResponse(secrets=[info for info, _ in self.secrets.values()])

    def _secrets_delete(self, request: SecretDeleteRequest) -> SecretInfo:
        if request.name not in self.secrets:
            raise NotFoundError(f"there is no secret {request.name}")
        return self.secrets.pop(request.name)[0]


@pytest.fixture
def service() -> WithObjects:
    return WithObjects()


@pytest.mark.parametrize(("kind", "given"), [(Dict, ()), (Queue, ()), (Volume, ()), (Secret, ({"A": "b"},))])
def test_objects_are_created_listed_and_deleted_by_name(kind: Any, given: tuple[Any, ...], client: Client) -> None:
    assert kind.objects.list() == []
    for name in ("first", "second", "third"):
        assert kind.objects.create(name, *given) is None
    with pytest.raises(AlreadyExistsError, match="'first' already: choose another name, or allow_existing=True"):
        kind.objects.create("first", *given)
    kind.objects.create("first", *given, allow_existing=True)

    found = kind.objects.list(client=client)
    assert [one.name for one in found] == ["third", "second", "first"]
    assert all(one.is_hydrated for one in found)
    assert [one.name for one in kind.objects.list(max_objects=1)] == ["third"]
    later = datetime.fromtimestamp((BEGAN_MS + DAY_MS) / 1000, UTC)
    assert [one.name for one in kind.objects.list(created_before=later)] == ["first"]
    assert kind.objects.list(created_before="2001-01-01") == []

    kind.objects.delete("first")
    with pytest.raises(NotFoundError):
        kind.objects.delete("first")
    kind.objects.delete("first", allow_missing=True)
    assert [one.name for one in asyncio.run(kind.objects.list.aio())] == ["third", "second"]
    asyncio.run(kind.objects.create.aio("fourth", *given))
    asyncio.run(kind.objects.delete.aio("fourth"))


def test_objects_of_another_environment_are_apart(client: Client) -> None:
    Dict.objects.create("x", environment_name="other")
    assert Dict.objects.list() == []
    (found,) = Dict.objects.list(environment_name="other")
    assert found.info().name == "x"


@pytest.mark.parametrize("given", [{"max_objects": -1}, {"max_objects": True}, {"created_before": "soon"}])
def test_a_limit_that_is_none_is_told(given: Any, client: Client) -> None:
    with pytest.raises(InvalidError, match=f"{next(iter(given))} is "):
        Volume.objects.list(**given)


def test_options_of_volumes_that_make_no_difference_are_accepted(client: Client) -> None:
    Volume.objects.create("v", version=2)
    assert Volume.from_name("v", version=2, create_options={"a": 1}).object_id.startswith("vo-")
    assert Volume.from_name("w", create_if_missing=True, version=1).hydrate().name == "w"
    Volume.ephemeral(client, "main", 2)
    Volume.ephemeral.aio(version=2)
    with pytest.warns(UserWarning, match="experimental_options means nothing") as caught:
        Volume.objects.create("u", experimental_options={"a": True})
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("kind", "info"), [(Dict, infos.DictInfo), (Queue, infos.QueueInfo), (Volume, infos.VolumeInfo)]
)
def test_info_says_name_and_time(kind: Any, info: type, client: Client) -> None:
    created = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    expected = info("mine", created, None)
    assert kind.from_name("mine", create_if_missing=True).info() == expected
    assert asyncio.run(kind.from_name("mine").info.aio()) == expected


def test_a_secret_is_updated_by_name_and_says_all_but_its_values(service: WithObjects, client: Client) -> None:
    Secret.objects.create("api", {"A": "1", "B": "2"})
    secret = Secret.from_name("api")
    secret.update({"B": "3", "C": "4"})
    asyncio.run(secret.update.aio({"D": "5"}))
    assert service.secrets["api"][1] == {"A": "1", "B": "3", "C": "4", "D": "5"}
    info = secret.info(refresh=True)
    assert (info.name, info.environment_name, info.keys) == ("api", "main", ("A", "B", "C", "D"))
    assert (info.created_at.year, info.created_by, info.last_used) == (2023, None, None)
    with pytest.raises(InvalidError, match=r"Secret.update: 'A' is an int"):
        secret.update({"A": 1})  # type: ignore[dict-item]
    # One that exists keeps its values.
    Secret.objects.create("api", {"Z": "9"}, allow_existing=True)
    assert "Z" not in service.secrets["api"][1]


def test_a_secret_without_a_name_is_not_updated(client: Client) -> None:
    with pytest.raises(InvalidError, match="a secret without a name can't be changed"):
        Secret.from_dict({"A": "1"}).update({"A": "2"})


def test_older_spellings_of_network_file_systems(client: Client) -> None:
    assert NetworkFileSystem.create_deployed("n", client, "main").startswith("sv-")
    NetworkFileSystem.delete("n", client, "main")
    with pytest.raises(NotFoundError):
        NetworkFileSystem.delete("n", client)
    NetworkFileSystem.delete("n", allow_missing=True)


def test_a_hook_for_progress_is_ignored_with_a_warning(client: Client) -> None:
    file_system = NetworkFileSystem.from_name("n", create_if_missing=True)
    with pytest.warns(UserWarning, match="progress_cb means nothing") as caught, pytest.raises(InvalidError):
        file_system.add_local_file("/nowhere", "x", print)
    assert caught[0].filename == __file__


def test_a_key_of_a_dict_can_be_awaited() -> None:
    assert callable(Dict.from_name("d").__getitem__.aio)
    assert callable(Dict.from_name("d").__contains__.aio)


def test_a_partition_key_is_checked() -> None:
    assert Queue.validate_partition_key("one") == b"one"
    assert Queue.validate_partition_key(None) == b""
    with pytest.raises(InvalidError, match="1 to 64 bytes"):
        Queue.validate_partition_key("x" * 65)


def test_no_object_has_a_page_on_the_web(client: Client) -> None:
    with pytest.raises(InvalidError, match=r"get_dashboard_url is not in Wherry: the dashboard is opened by a link"):
        Dict.from_name("d").get_dashboard_url()


def test_managers_have_their_names() -> None:
    assert type(Dict.objects) is wherry.dict.DictManager
    assert type(Queue.objects) is wherry.queue.QueueManager
    assert type(Volume.objects) is wherry.volume.VolumeManager
    assert type(Secret.objects) is wherry.secret.SecretManager
    for module in (wherry.dict, wherry.queue, wherry.volume, wherry.secret):
        with pytest.raises(AttributeError, match="nonsense"):
            _ = module.nonsense
