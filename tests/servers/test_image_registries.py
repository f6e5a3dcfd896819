"""Images from and through registries, which the tests start on this machine."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import wherry
from tests.acceptance.bare_run import printed_by
from tests.acceptance.elsewhere import elsewhere
from tests.acceptance.servers import ImageRegistry, closing_engine, second_engine
from tests.acceptance.service import OwnService
from wherry import Image
from wherry.exception import DeprecationError, ImageBuildError

USERS = {"someone": "a-registry-password", "_json_key": '{"type": "service_account"}', "AWS": "amazons-password"}


@pytest.fixture
def foreign(base: str, tmp_path: Path) -> Iterator[str]:
    """An image of somebody else's in a registry for those with a password, and not here."""
    with ImageRegistry(tmp_path / "registry", USERS).serving() as address:
        # A name of its own: an image of an earlier run, from the same port, is another.
        reference = f"{address}/theirs/own-{uuid.uuid4().hex}:1"
        folder = tmp_path / "theirs"
        folder.mkdir()
        (folder / "Dockerfile").write_text(
            f"FROM {base}\nRUN useradd --uid 4711 someone\nUSER someone\nWORKDIR /tmp\n"
            'ENTRYPOINT ["/bin/false"]\nCMD ["never"]\n'
        )
        env = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(folder / "config")}
        for command in (
            ["/usr/bin/docker", "build", "-q", f"--tag={reference}", str(folder)],
            ["docker", "login", "-u", "someone", "-p", USERS["someone"], address],
            ["docker", "push", "-q", reference],
            ["docker", "rmi", reference],
        ):
            subprocess.run(command, env=env, capture_output=True, check=True)
        yield reference
        subprocess.run(["docker", "rmi", "-f", reference], capture_output=True, check=False)


def test_an_image_of_a_registry_runs_functions_whatever_its_user_and_entrypoint(
    service: OwnService, foreign: str
) -> None:
    def secret(password: str) -> wherry.Secret:
        return wherry.Secret.from_dict({"REGISTRY_USERNAME": "someone", "REGISTRY_PASSWORD": password})

    with pytest.raises(ImageBuildError, match="if it is private, give secret= with its credentials"):
        Image.from_registry(foreign).build()
    with pytest.raises(ImageBuildError, match=r"could not be logged in to: .*; its secret is not accepted") as raised:
        Image.from_registry(foreign, secret=secret("another-password")).build()
    assert "another-password" not in str(raised.value)
    with pytest.raises(ImageBuildError, match="the secret of the registry has no REGISTRY_USERNAME; it has A"):
        Image.from_registry(foreign, secret=wherry.Secret.from_dict({"A": "b"})).build()

    def who() -> tuple[int, str, str, str]:
        import os

        import six

        return os.getuid(), os.getcwd(), Path("/srv/setup").read_text(), six.__version__

    image = Image.from_registry(
        foreign, secret=secret(USERS["someone"]), setup_dockerfile_commands=["USER 0", "RUN id -un >/srv/setup",
        "USER someone"],
    ).pip_install("six==1.16.0")  # fmt: skip
    app = wherry.App("theirs", image=image)
    handle = app.function(serialized=True)(who)
    with app.run():
        assert handle.remote() == (4711, "/tmp", "root\n", "1.16.0")
    with pytest.warns(DeprecationError, match="from_dockerhub is now called Image.from_registry"):
        assert Image.from_dockerhub(foreign).build().object_id == Image.from_registry(foreign).build().object_id


def test_googles_registry_is_logged_in_to_with_a_service_accounts_key(service: OwnService, foreign: str) -> None:
    secret = wherry.Secret.from_dict({"SERVICE_ACCOUNT_JSON": USERS["_json_key"]})
    assert Image.from_gcp_artifact_registry(foreign, secret).build().object_id.startswith("im-")


def test_amazons_registry_is_logged_in_to_with_what_amazon_gives(foreign: str, tmp_path: Path) -> None:
    # Amazon is not asked: in place of its client, one that gives the password of a registry that is here.
    (tmp_path / "boto3.py").write_text(
        "import base64\n"
        "class client:\n"
        "    def __init__(self, name, **given):\n"
        "        assert (name, given['aws_access_key_id'], given['region_name']) == ('ecr', 'id', 'eu-west-1')\n"
        "    def get_authorization_token(self):\n"
        f"        token = base64.b64encode(b'AWS:{USERS['AWS']}').decode()\n"
        "        return {'authorizationData': [{'authorizationToken': token}]}\n"
    )
    program = tmp_path / "program.py"
    program.write_text(
        "import wherry\n"
        "secret = wherry.Secret.from_dict(\n"
        "    {'AWS_ACCESS_KEY_ID': 'id', 'AWS_SECRET_ACCESS_KEY': 'key', 'AWS_REGION': 'eu-west-1'})\n"
        f"image = wherry.Image.from_aws_ecr({foreign!r}, secret).run_commands('id -u > /tmp/who')\n"
    )
    with elsewhere(PYTHONPATH=str(tmp_path)) as other:
        built = other.wherry("image", "build", f"{program}::image")
    assert built.returncode == 0, built.stderr
    with closing_engine() as engine:
        tag = f"wherry/image:{built.stdout.strip().removeprefix('im-')}"
        assert printed_by(engine, tag, ["cat", "/tmp/who"], entrypoint=[]) == "4711\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="an engine beside this machine's own, and its disk, need root")
def test_another_engine_pulls_what_was_pushed_and_says_when_its_disk_is_full(tmp_path: Path) -> None:
    own = uuid.uuid4().hex
    program = tmp_path / "program.py"
    program.write_text(
        "import wherry\n"
        f"image = wherry.Image.debian_slim().run_commands('echo {own} > /made')\n"
        "def fill():\n    with open('/big', 'wb') as file:\n"
        "        while file.write(bytes(1 << 20)):\n            pass\n"
        "large = image.run_function(fill)\n"
    )
    registry = ImageRegistry(tmp_path / "registry")
    settings = {"WHERRY_IMAGES_REGISTRY": f"{registry.address}/ours"}
    with registry.serving(), elsewhere(**settings) as here:
        pushed = here.wherry("image", "build", "-v", f"{program}::image")
        assert f"pushed {registry.address}/ours/image:" in pushed.stderr, pushed.stderr
    with second_engine(400, registry) as address, elsewhere(**settings, DOCKER_HOST=address) as there:
        pulled = there.wherry("image", "build", "-v", f"{program}::image")
        assert pulled.returncode == 0, pulled.stderr
        assert pulled.stdout == pushed.stdout
        assert f"pulled {registry.address}/ours/image:" in pulled.stderr
        with closing_engine(address) as engine:
            tag = f"wherry/image:{pulled.stdout.strip().removeprefix('im-')}"
            made = engine.containers.run(tag, ["cat", "/made"], network_mode="none", remove=True)
            assert made == f"{own}\n".encode()
        full = there.wherry("image", "build", f"{program}::large")
        assert full.returncode == 5
        assert "No space left on device" in full.stderr
        assert "the disk is full: `wherry image prune --all` removes images that nothing uses" in full.stderr
        assert "Traceback" not in full.stderr.partition("run_function")[0]
        again = there.wherry("image", "build", f"{program}::image")
        assert (again.returncode, again.stderr) == (0, "")


def test_a_registry_that_is_away_stops_no_build(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import wherry\nimage = wherry.Image.debian_slim().env({'A': 'b'})\napp = wherry.App()\n")
    with elsewhere(WHERRY_IMAGES_REGISTRY="127.0.0.1:1/ours") as other:
        built = other.wherry("image", "build", "-v", "--force", f"{program}::image")
        assert built.returncode == 0, built.stderr
        assert "warning: 127.0.0.1:1/ours/image:" in built.stderr
        assert "could not be pushed" in built.stderr
