"""What an image says of itself, which the containers that are made of it seem to say too."""

import importlib
import secrets
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import ImageBuildError


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
