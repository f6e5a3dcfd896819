"""`wherry image build` of folders and `wherry image pull`, on a fake service."""

from collections.abc import Callable
from pathlib import Path

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry._connection.client import Client
from wherry._publish.images import ensure_images
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import ImageEnsureRequest

Run = Callable[..., int]


def _asked(service: FakeService) -> ImageEnsureRequest:
    request = next(request for name, request in reversed(service.requests) if name == "Images.Ensure")
    assert isinstance(request, ImageEnsureRequest)
    return request


def test_a_folder_s_dockerfile_is_built(
    run: Run, service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "context"
    (folder / "docker").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM debian:13\n")
    (folder / "docker/Other").write_text("FROM debian:12\nCOPY Dockerfile /x\n")
    assert run("", "image", "build", str(folder)) == 0
    assert capsys.readouterr().out.startswith("im-")
    (image,) = _asked(service).images
    assert [step.kind for step in image.steps] == ["dockerfile"]
    # No Python is asked of it: it may be for a sandbox.
    assert _asked(service).bare
    assert run("", "image", "build", "-f", str(folder / "docker/Other"), "--force-build", "-e", "dev", str(folder)) == 0
    (image,) = _asked(service).images
    assert image.steps[0].force_build
    assert [file.path for file in image.steps[0].files if file.path.endswith("Dockerfile")]
    assert _asked(service).environment == "dev"


def test_a_registry_s_image_is_pulled(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("", "image", "pull", "docker.io/node:20") == 0
    assert capsys.readouterr().out.startswith("im-")
    (image,) = _asked(service).images
    assert (image.steps[0].kind, image.steps[0].args) == ("from_registry", ["docker.io/node:20"])
    assert run("", "image", "pull", "node", "--name", "dev/base") == 0
    assert "Published im-0 as base in environment dev" in capsys.readouterr().err
    assert service.image_names == {("dev", "base"): "im-0"}
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    assert run("", "image", "pull", "node", "--registry-secret-from-env", "NO_SUCH_VARIABLE") == 1
    assert "NO_SUCH_VARIABLE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "FOLDER"], "there is no file FOLDER/Dockerfile: name the Dockerfile with --file"),
        (["build", "SCRIPT", "-f", "Dockerfile"], "--file names the Dockerfile of a folder"),
        (["pull", "node", "--registry-secret", "s", "--registry-secret-from-env", "A"], "use one of them"),
    ],
)
def test_what_can_not_be_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert run("", "image", *(word.replace("FOLDER", str(folder)) for word in words)) == 2
    assert said.replace("FOLDER", str(folder)) in capsys.readouterr().err


def test_an_image_is_used_by_its_name(service: FakeService, client: Client) -> None:
    named = wherry.Image.from_name("base:v1")
    other = wherry.Image.from_name("base:v1", environment_name="dev")
    with pytest.raises(NotFoundError, match="no image is named 'base:v1'"):
        ensure_images(client, [named])
    wherry.Image.debian_slim().publish("base:v1")
    wherry.Image.debian_slim().publish("dev/base:v1")
    service.image_names["dev", "base:v1"] = "im-of-dev"
    ensure_images(client, [named.pip_install("x"), other, wherry.Image.from_name("dev/base:v1")])
    first, *rest = _asked(service).images
    assert [(step.kind, list(step.args)) for step in first.steps] == [("from_id", ["im-0"]), ("pip_install", ["x"])]
    # The one of dev, named in two ways.
    assert [step.args for image in rest for step in image.steps] == [["im-of-dev"]] * len(rest)
    # It is looked for each time: the name may have moved.
    service.image_names["main", "base:v1"] = "im-9"
    ensure_images(client, [named])
    assert list(_asked(service).images[0].steps[0].args) == ["im-9"]
    with pytest.raises(InvalidError, match="an image's name is None"):
        wherry.Image.from_name(None)  # type: ignore[arg-type]


def test_an_image_is_used_by_its_name_in_a_container_that_builds_none(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The service knows which environment is the container's; its SDK does not.
    client = Client(service, "", give_up_s=5)
    service.image_names["", "base"] = "im-7"
    monkeypatch.setattr("wherry._publish.images.is_local", lambda: False)
    ensure_images(client, [wherry.Image.from_name("base").env({"A": "b"})])
    (definition,) = _asked(service).images
    assert [(step.kind, list(step.args)) for step in definition.steps] == [("from_id", ["im-7"]), ("env", [])]
    client.close()
