"""Image builds, beside `docker build` of the Dockerfiles that they become."""

import asyncio
import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import Sample, in_turn, timed
from wherry import Image
from wherry._connection.client import default_client
from wherry._publish.image_files import resolve
from wherry._publish.images import ensure_images
from wherry_proto.messages import ImageInfo, ImageShowRequest
from wherry_service.images import host

PACKAGES = ("six", "lxml", "sqlalchemy", "pyyaml", "markupsafe", "idna", "attrs", "click", "rich", "pygments")


def measure_images(rows: dict[str, object], rounds: int) -> None:
    """Measure a build from the cache, images that are there already, and one changed line of ten packages."""
    cli = asyncio.run(host.find_build_cli())
    steps = _five_steps()
    ensure_images(default_client(), [steps])
    text = _dockerfile(steps)
    ours, plain = in_turn([lambda: _rebuild(steps), lambda: _docker_build(cli, text, cached=True)], rounds=3 * rounds)
    rows["image_cached_build"], rows["docker_cached_build"] = ours.row(), plain.row()
    five = [Image.debian_slim().env({"BENCH": str(number)}) for number in range(5)]
    ensure_images(default_client(), five)
    (there,) = in_turn([lambda: ensure_images(default_client(), five)], rounds=10 * rounds)
    rows["images_there_5"] = there.row()
    rows["image_changed_line"], rows["docker_changed_line"] = _changed_line(cli, rounds)


def _five_steps() -> Image:
    own = uuid.uuid4().hex
    return (
        Image.debian_slim()
        .run_commands(f"echo {own} >/one")
        .run_commands("echo two >/two")
        .env({"THREE": "3"})
        .workdir("/srv")
        .run_commands("echo five >/five")
    )


def _dockerfile(image: Image) -> str:
    request = ImageShowRequest(definition=resolve(image, None).definition)
    return default_client().call("Images.Show", request, ImageInfo).dockerfile


def _rebuild(image: Image) -> None:
    """Build with everything in the builder's cache: the tag is taken away first."""
    _forget(f"wherry/image:{image.object_id.removeprefix('im-')}")
    ensure_images(default_client(), [image], bare=True)


def _forget(tag: str) -> None:
    subprocess.run(["docker", "rmi", "-f", tag], capture_output=True, check=False)


def _docker_build(cli: host.BuildCli, text: str, cached: bool) -> None:
    _forget("wherry-bench/peer")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(text)
        # As the service hands it over, so that the cache is the same.
        lent = [f"--secret=id=wherry-ca,src={bundle}"] if (bundle := host.ca_bundle()) else []
        subprocess.run(
            [*cli.build, "-q", "--tag=wherry-bench/peer", *([] if cached else ["--no-cache"]), *lent, folder],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            check=True,
        )


def _changed_line(cli: host.BuildCli, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Time an install of ten packages of which one has changed, with our caches and without any."""
    versions = iter([f"1.{minor}.0" for minor in (16, 15, 14, 13, 12, 11)])
    ensure_images(default_client(), [Image.debian_slim().pip_install(*PACKAGES)], bare=True)
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(min(2 * rounds, 5)):
        packages = [f"six=={next(versions)}", *PACKAGES[1:]]
        image = Image.debian_slim().env({"BENCH": uuid.uuid4().hex}).pip_install(*packages)
        build: Callable[[], object] = lambda image=image: ensure_images(default_client(), [image], bare=True)  # noqa: E731
        ours.append(timed(build))
        lines = ["FROM wherry/base:bookworm", f"ENV BENCH={uuid.uuid4().hex}"]
        lines.append(f"RUN pip install --break-system-packages {' '.join(packages)}")
        lent = host.ca_bundle()
        if lent is not None:
            lines[-1] = lines[-1].replace(
                "RUN ", "RUN --mount=type=secret,id=wherry-ca,target=/ca.crt,mode=0444 PIP_CERT=/ca.crt ", 1
            )
        text = "\n".join(lines) + "\n"
        plain.append(timed(lambda text=text: _docker_build(cli, text, cached=True)))
    return Sample(tuple(ours)).row(), Sample(tuple(plain)).row()
