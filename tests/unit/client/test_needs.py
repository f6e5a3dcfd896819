"""What containers need is brought up once, in one order, whatever has the containers."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from tests.unit.client.test_environment_of import Recording
from wherry._connection.client import Client
from wherry._publish.deploying import dry_run
from wherry._publish.shell import fresh_for_function
from wherry_proto.messages import AppPublishRequest, SandboxCreateRequest


@pytest.fixture
def service() -> FakeService:
    return Recording()


class House:
    """An app whose three functions share all that can be shared."""

    def __init__(self, folder: Path) -> None:
        (folder / "file").write_text("x")
        self.secret = wherry.Secret.from_name("key")
        self.volume = wherry.Volume.from_name("files")
        self.bucket = wherry.CloudBucketMount("bucket", secret=self.secret)
        self.mount = wherry.Mount.from_local_file(folder / "file", "/given/file")
        self.app = wherry.App(
            "house",
            image=wherry.Image.debian_slim(),
            secrets=[self.secret],
            volumes={"/v": self.volume, "/b": self.bucket},
            mounts=[self.mount],
        )
        shared = wherry.NetworkFileSystem.from_name("shared")
        self.functions: list[Any] = [
            self.app.function(name=name, serialized=True, secrets=[self.secret], network_file_systems={"/n": shared})(f)
            for name in ("one", "two", "three")
        ]


def f() -> None: ...


def methods(service: FakeService) -> list[str]:
    ours = ("Images.", "Blobs.PutSource", "Secrets.", "Volumes.", "NetworkFileSystems.", "Apps.Publish", "Sandboxes.")
    return [method for method, _ in service.requests if method.startswith(ours)]


def test_each_thing_is_brought_up_once_and_in_one_order(service: Recording, client: Client, tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.app.run(client=client):
        pass
    found = methods(service)
    # Once for the functions themselves, once for what is mounted besides. The bucket's secret is the functions' own.
    assert Counter(found) == {
        "Images.Ensure": 1,
        "Blobs.PutSource": found.count("Blobs.PutSource"),
        "Secrets.Lookup": 1,
        "Volumes.Open": 1,
        "NetworkFileSystems.Open": 1,
        "Apps.Publish": 1,
    }
    assert found.count("Blobs.PutSource") <= 2
    order = list(dict.fromkeys(found))
    assert order == [
        "Images.Ensure",
        "Blobs.PutSource",
        "Secrets.Lookup",
        "Volumes.Open",
        "NetworkFileSystems.Open",
        "Apps.Publish",
    ]
    (request,) = [request for method, request in service.requests if method == "Apps.Publish"]
    assert isinstance(request, AppPublishRequest)
    for spec in request.functions:
        assert [mount.path for mount in spec.volumes] == ["/v"]
        assert [mount.path for mount in spec.bucket_mounts] == ["/b"]
        assert [mount.path for mount in spec.network_file_systems] == ["/n"]
        assert [mount.remote_path for mount in spec.local_mounts] == ["/given/file"]
        assert spec.image_id
        assert len(spec.secret_ids) == 2
        assert spec.bucket_mounts[0].secret_id == "st-1"


def test_a_shell_for_a_function_has_what_the_function_has(service: Recording, client: Client, tmp_path: Path) -> None:
    house = House(tmp_path)
    fresh_for_function(client, house.app.__wherry_owner__.plan(), house.functions[0].written)
    (request,) = [request for method, request in service.requests if method == "Sandboxes.Create"]
    assert isinstance(request, SandboxCreateRequest)
    spec = request.spec
    assert spec is not None
    assert sorted(mount.path for mount in spec.volumes) == ["/n", "/v"]
    assert [mount.path for mount in spec.bucket_mounts] == ["/b"]
    assert [mount.remote_path for mount in spec.local_mounts] == ["/given/file"]
    assert spec.only_waits
    assert spec.with_sdk


def test_a_question_makes_nothing(service: Recording, client: Client, tmp_path: Path) -> None:
    house = House(tmp_path)
    made = wherry.Volume.from_name("made", create_if_missing=True)
    house.app.function(name="four", serialized=True, volumes={"/m": made})(f)
    dry_run(house.app.__wherry_owner__.plan(), None, None)
    assert not any(getattr(request, "create", False) for _, request in service.requests)
    assert "Images.Ensure" not in methods(service)
