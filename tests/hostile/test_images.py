"""What an image says of itself, which the containers that are made of it seem to say too."""

import importlib
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.hostile.test_guests import command
from tests.waiting import wait_until
from wherry.exception import ImageBuildError

# Builds a wheel that tells whether it was here before.
BACKEND = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    mark = "/root/.cache/pip/poison"
    seen = os.path.exists(mark)
    os.makedirs(os.path.dirname(mark), exist_ok=True)
    open(mark, "w").close()
    with zipfile.ZipFile(os.path.join(folder, "p-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("p_seen.py", f"seen = {seen}\\n")
        wheel.writestr("p-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: p\\nVersion: 1\\n")
        wheel.writestr("p-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("p-1.dist-info/RECORD", "")
    return "p-1-py3-none-any.whl"
"""


def test_labels_of_an_image_end_nobodys_container(service: OwnService) -> None:
    sys.modules.pop("tests.hostile.victim", None)
    victim = importlib.import_module("tests.hostile.victim")
    found: list[Any] = []
    with victim.app.run():
        caller = threading.Thread(target=lambda: found.append(victim.wait.remote(7)))
        caller.start()
        wait_until(lambda: 7 in victim.gate, "the function runs")
        (row,) = service.containers(**{"kind": "container"})
        container_id = row["Labels"]["wherry.container"]
        labels = f"LABEL wherry.container={container_id} wherry.kind=container wherry.instance={service.instance}"
        image = wherry.Image.debian_slim().dockerfile_commands(labels).run_function(victim.nothing)
        image.build(victim.app)
        victim.gate["open"] = True
        caller.join()
        assert found == [7]
        assert [one["Labels"]["wherry.container"] for one in service.containers(kind="container")] == [container_id]
    assert f"Container {container_id}" not in service.log()


@pytest.mark.parametrize(
    "lines",
    [
        ["COPY --from={} /secret /stolen"],
        ["RUN --mount=type=bind,from={},target=/other cp /other/secret /stolen"],
    ],
)
def test_an_image_of_the_services_is_taken_by_no_dockerfile(service: OwnService, lines: list[str]) -> None:
    app = wherry.App("builder")
    with app.run():
        made = wherry.Image.debian_slim().run_commands(f"echo {secrets.token_hex()} >/secret").build(app)
        name = f"wherry/image:{made.object_id.removeprefix('im-')}"
        thief = wherry.Image.debian_slim().dockerfile_commands(
            *(line.format(name) for line in lines), "RUN cat /stolen"
        )
        with pytest.raises(ImageBuildError, match="an image of this service's"):
            thief.build(app)
        with pytest.raises(Exception, match="an image of this service's"):
            wherry.Image.from_registry(name).build(app)


def test_a_variable_hides_no_image_of_the_services(service: OwnService, tmp_path: Path) -> None:
    app = wherry.App("builder")
    with app.run():
        made = wherry.Image.debian_slim().run_commands(f"echo {secrets.token_hex()} >/secret").build(app)
        file = tmp_path / "Dockerfile"
        file.write_text(f"ARG A=wherry/ima\nFROM ${{A}}ge:{made.object_id.removeprefix('im-')}\nRUN cat /secret\n")
        with pytest.raises(ImageBuildError, match="an image of this service's"):
            wherry.Image.from_dockerfile(str(file)).build(app)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def inner() -> Iterator[tuple[str, list[str]]]:
    """What only the host reaches: a URL, and who has asked there."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"of the host alone")

        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{secrets.token_hex()}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "lines",
    [
        "ADD {url} /x\nRUN cat /x",
        "ARG U={url}\nADD $U /x\nRUN cat /x",
        'ENV A=ht B={rest}\nADD ["${{A}}$B", "/x"]',
        "AD\\\nD \\\n {url} /x",
        "RUN true '<<EOF'\nADD {url} /x\nRUN cat /x",
        "ONBUILD ADD {url} /x",
    ],
)
def test_no_build_has_the_engine_fetch_from_the_host(
    service: OwnService, inner: tuple[str, list[str]], tmp_path: Path, lines: str
) -> None:
    url, asked = inner
    text = lines.format(url=url, rest=url.removeprefix("ht"))
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM wherry/base:bookworm\n{text}\n")
    app = wherry.App("builder")
    with app.run():
        wherry.Image.debian_slim("3.11").build(app)
        with pytest.raises(Exception, match=r"images\.add_urls"):
            wherry.Image.from_dockerfile(str(file)).build(app)
        with pytest.raises(Exception, match=r"images\.add_urls"):
            wherry.Image.debian_slim("3.11").dockerfile_commands(*text.splitlines()).build(app)
    assert asked == []


def test_an_image_that_has_the_next_build_fetch_is_none_to_begin_with(
    service: OwnService, inner: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = inner
    app = wherry.App("builder")
    name = f"of-a-test:{secrets.token_hex(4)}"
    change = ["--change", f"ONBUILD ADD {url} /x"]
    with app.run():
        wherry.Image.debian_slim("3.11").build(app)
        made = docker("create", "wherry/base:bookworm", "true")
        try:
            docker("commit", *change, made, name)
            with pytest.raises(Exception, match=r"ONBUILD.*images\.add_urls"):
                wherry.Image.from_registry(name).run_commands("cat /x").build(app)
            assert asked == []
            file = tmp_path / "Dockerfile"
            file.write_text(f"FROM {name}\nRUN cat /x\n")
            with pytest.raises(Exception, match=r"images\.add_urls"):
                wherry.Image.from_dockerfile(str(file)).build(app)
        finally:
            docker("rm", made)
            docker("rmi", "-f", name)


def test_what_a_build_leaves_in_a_cache_is_in_no_build_of_another_environment(
    service: OwnService, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    )
    (tmp_path / "b.py").write_text(BACKEND)
    command("environment", "create", "prod")

    def build(environment: str, seen: bool) -> None:
        app = wherry.App("builder")
        image = (
            wherry.Image.debian_slim()
            .env({"NUMBER": secrets.token_hex()})
            .add_local_dir(tmp_path, "/p", copy=True)
            .pip_install("/p")
            .run_commands(f"python3 -c 'import p_seen; assert p_seen.seen is {seen}'")
            .dockerfile_commands(
                f"RUN --mount=type=cache,id=some,target=/c test {'-e' if seen else '! -e'} /c/poison; touch /c/poison"
            )
        )
        with app.run(environment_name=environment):
            image.build(app)

    build("main", False)
    build("main", True)
    build("prod", False)
