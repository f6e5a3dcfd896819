"""Spellings of Modal's first half of 2023, and of later programs that use what was private or an experiment."""

import asyncio
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wherry
import wherry.cli.volume
import wherry.config
import wherry.dict
import wherry.experimental
import wherry.queue
import wherry.shared_volume
from tests.fakes.service import FakeService
from wherry._connection.client import Client
from wherry.exception import DeprecationError, InvalidError, NotFoundError
from wherry_proto.messages import FunctionInfo, FunctionLookupRequest


@pytest.fixture(autouse=True)
def older_names() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationError)
        yield


def double(n: int) -> int:
    return n * 2


def site() -> None: ...


def other() -> None: ...


def test_decorators_without_parentheses(service: FakeService, client: Client) -> None:
    stub: Any = wherry.Stub("early")
    service.functions = {"double": double}
    with pytest.warns(DeprecationError, match=r"@app.function is now called @app.function\(\), with") as told:
        made = stub.function(double)
    assert told[0].filename == __file__
    with stub.run(client=client):
        assert made.call(4) == 8
    with pytest.warns(DeprecationError, match=r"@app.local_entrypoint is now") as told:
        main = stub.local_entrypoint(lambda: 5)
    assert told[0].filename == __file__
    assert (main(), list(stub.registered_entrypoints)) == (5, ["test_decorators_without_parentheses.<locals>.<lambda>"])
    for wrong in (True, "double", object()):
        for name in ("function", "local_entrypoint"):
            with pytest.raises(InvalidError, match=rf"parentheses are missing: write @app.{name}\(\)"):
                getattr(stub, name)(wrong)


@pytest.mark.parametrize(("name", "newer"), [("webhook", "web_endpoint"), ("asgi", "asgi_app"), ("wsgi", "wsgi_app")])
def test_web_decorators_of_the_app(name: str, newer: str) -> None:
    stub: Any = wherry.Stub("web")

    with pytest.warns(DeprecationError, match=rf"@app.{name} is now called @wherry.{newer}\(\), below") as told:
        getattr(stub, name)(site)
    assert told[0].filename == __file__
    given = {"method": "POST"} if name == "webhook" else {}
    getattr(stub, name)(label="mine", cpu=2, keep_warm=1, **given)(other)
    assert stub.registered_web_endpoints == ["site", "other"]
    definition = stub.registered_functions["other"].definition
    assert (definition.options.cpu[0], definition.options.min_containers) == (2, 1)
    assert definition.web.label == "mine"
    new = wherry.App("new")
    decorator: Any = getattr(wherry, newer)(label="mine", **given)
    newer_definition = new.function()(decorator(other)).definition
    assert newer_definition is not None
    attributes = type(definition.web).__slots__
    assert [getattr(definition.web, one) for one in attributes] == [
        getattr(newer_definition.web, one) for one in attributes
    ]


def test_shared_volumes() -> None:
    stub: Any = wherry.Stub("volumes")
    stub.cache = wherry.SharedVolume()
    kept = wherry.SharedVolume().persist("kept")
    assert (kept.name, wherry.SharedVolume.from_name("kept").name) == ("kept", "kept")
    assert isinstance(kept, wherry.NetworkFileSystem)
    assert wherry.shared_volume.SharedVolumeHandle is wherry.SharedVolume
    made = stub.function(shared_volumes={"/cache": stub.cache, "/kept": kept})(double)
    assert [place for place, _ in made.definition.options.network_file_systems] == ["/cache", "/kept"]
    assert stub.__wherry_owner__.objects == [stub.cache]


def test_mounts_and_secrets_are_made_by_their_classes(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("x")
    by_class = wherry.Mount("/assets", local_dir=tmp_path)
    assert by_class.mounted == wherry.Mount.from_local_dir(tmp_path, remote_path="/assets").mounted
    file = tmp_path / "page.html"
    by_class = wherry.Mount(remote_dir="/assets", local_file=file)
    assert by_class.mounted == wherry.Mount.from_local_file(file, "/assets/page.html").mounted
    names = [mount.mounted for mount in wherry.create_package_mounts(["wherry", "tests"])]
    assert names == [wherry.Mount.from_local_python_packages(name).mounted for name in ("wherry", "tests")]
    assert wherry.Secret({"A": "b", "C": None}).values_here() == {"A": "b"}
    image = wherry.Image.debian_slim()
    assert repr(image.copy(by_class, "/srv")) == repr(image.copy_mount(by_class, "/srv"))
    with pytest.raises(InvalidError, match="Secret"):
        wherry.Secret({"A": 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", ["dir", "file"])
def test_a_mount_that_a_container_does_not_have_at_home(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: Any = getattr(wherry.Mount, f"from_local_{kind}")
    missing = tmp_path / "frontend"
    with pytest.raises(InvalidError, match=f"{missing} does not exist"):
        make(missing, remote_path="/assets")
    monkeypatch.setattr("wherry.mount.is_local", lambda: False)
    assert [item.remote for item in make(missing, remote_path="/assets").mounted] == ["/assets"]


class OneFunction(FakeService):
    """Has one function, `run` of the app `tools`."""

    def _functions_lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        if (request.app_name, request.name) not in (("tools", "run"), ("tools", "")):
            raise NotFoundError("none")
        return FunctionInfo(function_id="fu-" + "0" * 26, name="run", app_id="ap-1", environment="main")


def test_functions_are_looked_up_by_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(OneFunction(), "main", give_up_s=5)
    monkeypatch.setattr("wherry._connection.client._client_of", lambda _pid: client)
    assert wherry.lookup("tools", "run").object_id == "fu-" + "0" * 26
    with pytest.raises(NotFoundError):
        wherry.lookup("tools", "walk")
    client.close()


def test_names_in_modules() -> None:
    queue: Any = wherry.queue
    dicts: Any = wherry.dict
    assert (queue.QueueHandle, dicts.DictHandle) == (wherry.Queue, wherry.Dict)
    assert wherry.cli.volume.FileType is wherry.volume.FileEntryType
    for module in (queue, dicts, wherry.config):
        with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
            module.Nothing


def test_the_profile_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config: Any = wherry.config
    assert isinstance(config._profile, str)
    (tmp_path / ".wherry.toml").write_text("[work]\nserver_url = 'https://example.com'\n")
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    monkeypatch.setenv("WHERRY_PROFILE", "work")
    assert config._profile == "work"


def test_a_sandbox_has_the_private_id_that_frameworks_ask_for() -> None:
    sandbox = wherry.Sandbox("sb-" + "0" * 26)
    assert sandbox._get_task_id() == asyncio.run(sandbox._get_task_id.aio()) == sandbox.object_id


@pytest.mark.parametrize("name", ["from_registry", "from_gcp_artifact_registry", "from_aws_ecr"])
def test_an_image_of_a_registry_takes_what_steps_take(name: str) -> None:
    make: Any = getattr(wherry.Image, name)
    secret = wherry.Secret.from_dict({"A": "b"})
    assert make("node", secrets=[secret], env={"A": "b"}, gpu="any") == make("node", secrets=None) == make("node")
    with pytest.raises(TypeError, match=rf"Image.{name}\(\) got an unexpected keyword argument 'secrts'"):
        make("node", secrts=[])


def test_images_of_registries_and_gpus_of_20_gb() -> None:
    early = wherry.Image.from_dockerhub("node", setup_commands=["apt-get update", "echo 1"])
    assert early == wherry.Image.from_registry("node", setup_dockerfile_commands=["RUN apt-get update", "RUN echo 1"])
    assert wherry.experimental.raw_registry_image("node") == wherry.Image.from_registry("node")
    assert wherry.gpu.A100(memory=20) == wherry.gpu.A100(memory=0) == wherry.gpu.A100()
    with pytest.raises(InvalidError, match="memory is 30"):
        wherry.gpu.A100(memory=30)
