"""Functions on every Python that is supported: Debian's own, and this host's where Debian has none."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wherry
from tests.acceptance.apps import any_python
from tests.acceptance.service import OwnService, own_service
from wherry import Image

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0,
        reason="another release's Python is taken from its base, which root makes; this host's is tested anyway",
    ),
]

# Beside what its own files need: an interpreter that was compiled on a Debian host.
DOCKERFILE = """\
FROM wherry/base:bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libssl3 libsqlite3-0 libffi8 libreadline8
COPY . /opt/python
RUN echo /opt/python/lib >/etc/ld.so.conf.d/python.conf && ldconfig
ENV PATH=/opt/python/bin:$PATH
"""


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    with own_service() as service:
        # The Dockerfiles here begin with it, and a fresh engine has it not yet.
        Image.debian_slim().build()
        yield service


def of_this_host(version: str, folder: Path) -> Image:
    """Make an image of an interpreter of this host."""
    places = [*Path("/").glob(f"*/.pyenv/versions/{version}.*"), *Path("/").glob(f"home/*/.pyenv/versions/{version}.*")]
    prefix = next((place for place in places if (place / "bin/python3").exists()), None)
    if prefix is None:
        pytest.skip(f"Debian has no Python {version}, and this host has none that pyenv made")
    shutil.copytree(
        prefix, folder / "context", symlinks=True, ignore=shutil.ignore_patterns("test", "__pycache__", "*.a", "share")
    )
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return Image.from_dockerfile(folder / "Dockerfile", context_dir=folder / "context")


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_functions_run_on(version: str, service: OwnService, tmp_path: Path) -> None:
    debian = version in ("3.11", "3.13", "3.14")
    image = Image.debian_slim(python_version=version) if debian else of_this_host(version, tmp_path)
    run_all(image, version)


def test_functions_run_on_musl(service: OwnService) -> None:
    # Not even a shell is there. Compiling takes minutes the first time.
    run_all(Image.from_dockerfile(Path(__file__).parent / "images" / "musl.Dockerfile"), "3.11")


def run_all(image: Image, version: str) -> None:
    app = any_python.app
    app.image = image
    with app.run():
        assert any_python.version.remote() == tuple(int(part) for part in version.split("."))
        assert list(any_python.count.remote_gen(1000)) == list(range(1000))
        assert list(any_python.count_async.remote_gen(50)) == list(range(50))
        assert list(any_python.together.map(range(100))) == [number * number for number in range(100)]
        assert list(any_python.nested.map(range(10))) == list(range(1, 11))
        with pytest.raises(KeyError, match="no such key"):
            any_python.fails.remote()
        counter = any_python.Counter(start=5)
        assert [counter.more.remote(), counter.more.remote()] == [6, 7]


@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_one_that_is_put_into_an_image_without_any(version: str, service: OwnService, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY hello /hello\n")
    (tmp_path / "hello").write_text("hello")
    app = any_python.app
    app.image = Image.from_dockerfile(tmp_path / "Dockerfile", context_dir=tmp_path, add_python=version)
    with app.run():
        assert any_python.version.remote() == tuple(int(part) for part in version.split("."))


def test_a_function_by_value_needs_the_same_python(service: OwnService) -> None:
    app = wherry.App("by-value", image=Image.debian_slim(python_version="3.13"))
    function = app.function(serialized=True)(lambda: 1)
    ours = ".".join(str(part) for part in sys.version_info[:2])
    assert ours != "3.13"
    with pytest.raises(wherry.exception.Error, match=rf"(?s){ours}.*3\.13|3\.13.*{ours}"), app.run():
        function.remote()
