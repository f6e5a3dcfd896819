"""An app that runs in another environment than the client's asks for nothing outside of it."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.fakes.service import FAKE_ID, FakeService
from wherry._connection.client import Client
from wherry._publish.deploying import dry_run
from wherry._publish.shell import fresh_for_function
from wherry.cli import image as image_command
from wherry.cli._publish import _publish
from wherry_proto.messages import (
    AppInfo,
    AppShowResponse,
    DeploymentEvent,
    DeploymentResult,
    ImageInfo,
    Message,
    ObjectInfo,
    SandboxInfo,
    SecretInfo,
)

PROGRAM = """\
import wherry

app = wherry.App("everything")
files = wherry.Volume.from_name("files", create_if_missing=True)
shared = wherry.NetworkFileSystem.from_name("shared", create_if_missing=True)
named, given = wherry.Secret.from_name("key"), wherry.Secret.from_dict({"A": "b"})
bucket = wherry.CloudBucketMount("bucket", secret=wherry.Secret.from_name("bucket-key"))


def make():
    pass


image = (
    wherry.Image.debian_slim()
    .run_commands("true", secrets=[named])
    .run_function(make, secrets=[given], volumes={"/v": files}, network_file_systems={"/n": shared})
)


@app.function(
    image=image, secrets=[named, given], volumes={"/v": files, "/b": bucket}, network_file_systems={"/n": shared}
)
def work():
    pass


@app.cls(image=image)
class Model:
    @wherry.method()
    def run(self):
        pass
"""
# What names an environment though it is the app's that counts, and the service takes it from there.
BY_APP = {"Secrets.Create", "Secrets.Lookup"}


class Recording(FakeService):
    """Answers what has an environment, and keeps what was asked."""

    def stream(self, method: str, request: Any) -> Any:
        if method == "Deployments.Create":
            self.requests.append((method, request))
            return iter([DeploymentEvent(result=DeploymentResult())])
        return super().stream(method, request)

    def _secrets_create(self, request: Message) -> SecretInfo:
        return SecretInfo(secret_id="st-1")

    _secrets_lookup = _secrets_create

    def _volumes_open(self, request: Message) -> ObjectInfo:
        return ObjectInfo(object_id="vo-1")

    _networkfilesystems_open = _volumes_open

    def _sandboxes_create(self, request: Message) -> SandboxInfo:
        return SandboxInfo(sandbox_id=f"sb-{FAKE_ID}0")

    def _images_show(self, request: Message) -> ImageInfo:
        return ImageInfo(image_id="im-0")

    def _apps_show(self, request: Message) -> AppShowResponse:
        return AppShowResponse(app=AppInfo(app_id="ap-1", version=1))

    def named(self) -> set[tuple[str, str]]:
        """Return the methods whose requests name an environment, and which."""
        return {
            (method, request.environment)
            for method, request in self.requests
            if "environment" in request.__slots__ and not (method in BY_APP and request.app_id)  # type: ignore[attr-defined]
        }


@pytest.fixture
def service() -> FakeService:
    return Recording()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[Path]:
    path = tmp_path / "everything.py"
    path.write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("everything", None)


def test_an_app_that_runs(service: Recording, client: Client, program: Path) -> None:
    import everything  # type: ignore[import-not-found]

    with everything.app.run(client=client, environment_name="prod"):
        variant = everything.work.with_options(image=everything.image, secrets=[everything.named])
        assert variant.get_current_stats().backlog == 1
        wherry.Sandbox.create("true", app=everything.app, image=everything.image, volumes={"/v": everything.files})
        everything.image.build(everything.app)
        fresh_for_function(client, everything.app.__wherry_owner__.plan(), everything.work.written)
        assert client.environment == "main"
    methods = {
        "Apps.Open", "Images.Ensure", "Volumes.Open", "NetworkFileSystems.Open", "Sandboxes.Create", "Secrets.Lookup",
        "Secrets.Create",
    }  # fmt: skip
    assert service.named() == {(method, "prod") for method in methods}


def test_a_sandbox_in_an_environment_of_its_own(service: Recording, client: Client, program: Path) -> None:
    import everything

    for environment in ("prod", "dev"):
        service.requests.clear()
        wherry.Sandbox.create(
            "true",
            image=everything.image,
            secrets=[everything.named],
            volumes={"/v": everything.files, "/b": everything.bucket},
            environment_name=environment,
            client=client,
        )
        # Built there as well: what one environment has is not the other's.
        assert {"Images.Ensure", "Sandboxes.Create", "Secrets.Lookup"} <= {method for method, _ in service.named()}
        assert {named for _, named in service.named()} == {environment}


@pytest.mark.parametrize("environment", ["prod", ""])
def test_each_publishing_of_an_app_that_is_served(
    service: Recording, client: Client, program: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    for app_id in ("", "ap-1"):
        sys.modules.pop("everything", None)
        service.requests.clear()
        client.environment = "main"
        monkeypatch.setenv("WHERRY_SERVE_ENVIRONMENT", environment)
        monkeypatch.setenv("WHERRY_SERVE_OWNER", "cl-1")
        monkeypatch.setenv("WHERRY_SERVE_APP", app_id)
        _publish(str(program), program.with_suffix(".json"))
        assert {named for _, named in service.named()} == {environment or "main"}


def test_a_dry_run_and_the_build_of_a_files_images(service: Recording, client: Client, program: Path) -> None:
    import everything

    dry_run(everything.app.__wherry_owner__.plan(), None, "prod")
    image_command.build(str(program), None, False, None, None, None, environment="prod", verbose=False, as_json=True)
    assert {named for _, named in service.named()} == {"prod"}
    assert "Images.Ensure" in {method for method, _ in service.named()}
