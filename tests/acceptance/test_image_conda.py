"""Steps of conda and micromamba, on a stand-in for the images that they begin with: no registry is needed.

The stand-in's programs write down what they are asked for and the files they are handed; what they would install
is conda's affair. Everything around them is real: the build, its caches, the image that it makes.
"""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from tests.acceptance.bare_run import printed_by
from tests.acceptance.servers import closing_engine
from tests.acceptance.service import OwnService
from wherry import Image
from wherry._connection.client import default_client
from wherry._publish.images import ensure_images

BASES = ("mambaorg/micromamba:latest", "continuumio/miniconda3:latest")

PROGRAM = """\
#!/bin/sh
echo "$(basename "$0") $*" >>/asked
mkdir -p /opt/conda/pkgs && touch /opt/conda/pkgs/downloaded
for word; do case $word in /run/wherry-step/*) cat "$word" >>/asked ;; esac; done
"""

DOCKERFILE = """\
FROM wherry/base:bookworm
COPY --chmod=0755 program /usr/local/bin/conda
COPY --chmod=0755 program /usr/local/bin/micromamba
RUN useradd --uid 4711 mamba
USER mamba
"""


@pytest.fixture
def stand_in(base: str, tmp_path: Path) -> Iterator[None]:
    """Images with the names of conda's; real ones that this engine has get their names back."""
    folder = tmp_path / "stand-in"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "program").write_text(PROGRAM)
    with closing_engine() as engine:
        real = {}
        for reference in BASES:
            try:
                real[reference] = engine.images.get(reference)
            except ImageNotFound:
                real[reference] = None
        subprocess.run(
            ["/usr/bin/docker", "build", "-q", *(f"--tag={reference}" for reference in BASES), str(folder)],
            env={"DOCKER_BUILDKIT": "1"}, capture_output=True, check=True,
        )  # fmt: skip
        try:
            yield
        finally:
            for reference, image in real.items():
                if image is not None:
                    image.tag(reference)
                else:
                    engine.images.remove(reference, force=True)


def asked(image: Image) -> list[str]:
    """Build an image, and return what was asked of its programs and is left in their cache."""
    # Never built before: an image of a stand-in must not be found by who means the real one.
    (image_id,) = ensure_images(default_client(), [image.env({"OWN": uuid.uuid4().hex})], bare=True)
    with closing_engine() as engine:
        tag = f"wherry/image:{image_id.removeprefix('im-')}"
        command = ["sh", "-c", "cat /asked; ls -A /opt/conda/pkgs; echo $PATH | cut -d: -f1; id -u"]
        return printed_by(engine, tag, command).splitlines()


def test_micromamba_installs_packages(service: OwnService, stand_in: None, tmp_path: Path) -> None:
    (tmp_path / "spec.txt").write_text("a line of the file\n")
    image = Image.micromamba("3.12").micromamba_install(
        "scipy", "numpy>=2", spec_file=tmp_path / "spec.txt", channels=["conda-forge", "bioconda"]
    )
    assert asked(image) == [
        "micromamba install -n base -y -q -c conda-forge python=3.12 pip",
        "micromamba install -n base -y -q -c conda-forge -c bioconda numpy>=2 scipy --file /run/wherry-step/spec.txt",
        "a line of the file",
        # Nothing in the cache: it is shared by images and in none.
        "/opt/conda/bin",
        "0",
    ]


def test_conda_installs_packages_and_environments(service: OwnService, stand_in: None, tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("dependencies: [six]\n")
    image = (
        Image.conda("3.11")
        .conda_install("scipy", ["numpy"], channels=["conda-forge"])
        .conda_update_from_environment(tmp_path / "environment.yml")
    )
    assert asked(image) == [
        "conda install -n base -y -q python=3.11 pip",
        "conda install -n base -y -q -c conda-forge numpy scipy",
        "conda env update -n base -q -f /run/wherry-step/environment.yml",
        "dependencies: [six]",
        "/opt/conda/bin",
        "0",
    ]
