"""Every method of Image, by what is in the image that it makes."""

import io
import json
import random
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

import wherry
from tests.acceptance.apps import image_steps
from tests.acceptance.bare_run import printed_by
from tests.acceptance.service import OwnService
from wherry import Image
from wherry._connection.client import default_client
from wherry._publish.images import ensure_images

Look = Callable[..., str]


@pytest.fixture
def look(service: OwnService) -> Iterator[Look]:
    """Build an image, without the runner, and return what a command prints in it."""
    engine = docker.from_env()

    def run(image: Image, *command: str, user: str | None = None) -> str:
        (image_id,) = ensure_images(default_client(), [image], bare=True)
        tag = f"wherry/image:{image_id.removeprefix('im-')}"
        return printed_by(engine, tag, list(command), entrypoint=[], user=user)

    yield run
    engine.close()


def versions(look: Look, image: Image, *names: str) -> list[str]:
    program = f"from importlib.metadata import version as v; print([v(name) for name in {names!r}])"
    found = json.loads(look(image, "python3", "-c", program).replace("'", '"'))
    assert isinstance(found, list)
    return found


# Packages


def test_requirements_and_what_they_include_are_installed(look: Look, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# ours\nsix  # any\n-c limits.txt\n-r more.txt\n")
    (tmp_path / "limits.txt").write_text("six==1.16.0\n")
    (tmp_path / "more.txt").write_text("idna==3.6 ; \\\n  python_version > '3'\n")
    image = Image.debian_slim().pip_install_from_requirements(tmp_path / "requirements.txt")
    assert versions(look, image, "six", "idna") == ["1.16.0", "3.6"]
    # Containers are not to compile what they import, each anew.
    compiled = "import importlib.util as u, os; print(os.path.exists(u.find_spec('six').cached))"
    assert look(image, "python3", "-c", compiled).strip() == "True"
    (tmp_path / "requirements.txt").write_text("six\n# another comment\n-c limits.txt\n-r more.txt\n")
    assert (
        image.build().object_id
        == Image.debian_slim().pip_install_from_requirements(tmp_path / "requirements.txt").build().object_id
    )


def test_the_dependencies_of_a_project_are_installed(look: Look, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\nname = "p"\nversion = "1"\ndependencies = ["six==1.16.0"]\n'
        '[project.optional-dependencies]\nmore = ["idna==3.6"]\n'
    )
    image = Image.debian_slim().pip_install_from_pyproject(project, ["more"])
    assert versions(look, image, "six", "idna") == ["1.16.0", "3.6"]


def test_uv_installs_and_does_not_stay(look: Look, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("idna==3.6\n")
    image = Image.debian_slim().uv_pip_install("six==1.16.0", requirements=[tmp_path / "requirements.txt"])
    assert versions(look, image, "six", "idna") == ["1.16.0", "3.6"]
    left = "command -v uv || echo none; find /root/.cache /var/cache/wherry-tools -type f 2>/dev/null || true"
    assert look(image, "sh", "-c", left) == "none\n"


def test_uv_sync_installs_what_a_project_needs(look: Look, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["six==1.16.0"]\n'
        '[project.optional-dependencies]\nmore = ["idna==3.6"]\n'
    )
    image = Image.debian_slim().uv_sync(tmp_path, extras=["more"], frozen=False)
    assert versions(look, image, "six", "idna") == ["1.16.0", "3.6"]


def test_poetry_installs_what_a_project_needs_and_does_not_stay(look: Look, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.poetry]\nname = "p"\nversion = "1"\ndescription = ""\nauthors = []\n'
        '[tool.poetry.dependencies]\npython = "^3.11"\nsix = "1.16.0"\n'
        '[tool.poetry.group.dev.dependencies]\nidna = "3.6"\n'
    )
    image = Image.debian_slim().poetry_install_from_file(
        tmp_path / "pyproject.toml", ignore_lockfile=True, with_=["dev"]
    )
    assert versions(look, image, "six", "idna") == ["1.16.0", "3.6"]
    assert look(image, "sh", "-c", "command -v poetry || echo none") == "none\n"


@pytest.mark.parametrize("name", ["uv", "poetry"])
def test_tools_need_no_pip_in_the_image(look: Look, tmp_path: Path, name: str) -> None:
    bare = Image.debian_slim().run_commands("rm -rf /usr/lib/python3/dist-packages/pip* /usr/local/bin/pip*")
    if name == "uv":
        # One that is in no cache yet.
        image = bare.uv_pip_install("six==1.16.0", uv_version=f"0.5.{random.randint(1, 30)}")
    else:
        project = tmp_path / "pyproject.toml"
        project.write_text(
            '[tool.poetry]\nname = "a"\nversion = "1"\ndescription = ""\nauthors = []\npackage-mode = false\n'
            '[tool.poetry.dependencies]\npython = ">=3.10"\nsix = "1.16.0"\n'
        )
        image = bare.poetry_install_from_file(project, ignore_lockfile=True)
    assert look(image, "python3", "-c", "import six; print(six.__version__)") == "1.16.0\n"
    assert look(image, "sh", "-c", "python3 -m pip 2>/dev/null || echo none; find /run -type f") == "none\n"


def test_tools_know_letters_beyond_ascii(look: Look) -> None:
    assert look(Image.debian_slim(), "bash", "-c", "cd /tmp; touch fé; ls f*; x=aé; echo ${#x}") == "fé\n2\n"


def test_debian_packages_are_installed(look: Look) -> None:
    assert look(Image.debian_slim().apt_install("jq"), "jq", "-rn", '"hello"') == "hello\n"


# Commands, files, and what an image says of itself


def test_files_are_copied_where_they_are_wanted(look: Look, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.txt").write_text("one")
    (folder / "left.log").write_text("left")
    program = tmp_path / "program.sh"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    (tmp_path / "package").mkdir()
    odd = tmp_path / "[slug] p$HOME\\.js"
    odd.write_text("odd")
    image = (
        Image.debian_slim()
        .workdir("/srv")
        .copy_local_file(folder / "left.log")
        .copy_local_dir(folder, "below", ignore=["*.log"])
        .add_local_file(program, "/usr/local/bin/", copy=True)
        .add_local_file(odd, "/odd/$HOME/[x]\\y", copy=True)
        .add_local_file(odd, "/odd/", copy=True)
        .add_local_dir(folder, "/data", copy=True, ignore=lambda path: path.suffix == ".txt")
        .add_local_python_source("tests", copy=True, ignore=["**", "!waiting.py"])
        .copy_mount(wherry.Mount.from_local_dir(folder / "deep", remote_path="/given").add_local_file(program), "/m")
        .run_commands("program.sh > /out")
    )
    printed = look(image, "sh", "-c", "cd / && cat /out && find /srv /data /opt/source /m -type f | sort")
    assert printed.split() == [
        "ran", "/data/left.log", "/m/given/one.txt", "/m/root/program.sh", "/opt/source/tests/waiting.py",
        "/srv/below/deep/one.txt", "/srv/left.log",
    ]  # fmt: skip
    found = look(image, "find", "/odd", "-type", "f").splitlines()
    assert sorted(found) == ["/odd/$HOME/[x]\\y", f"/odd/{odd.name}"]
    imported = look(image, "python3", "-c", "import tests.waiting; print(tests.waiting.__file__)")
    assert imported == "/opt/source/tests/waiting.py\n"


def test_b57_a_changed_file_is_another_image_and_the_same_one_the_same(service: OwnService, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    first = Image.debian_slim().copy_local_file(file, "/file").build().object_id
    file.touch()
    assert Image.debian_slim().copy_local_file(file, "/file").build().object_id == first
    file.write_text("two")
    assert Image.debian_slim().copy_local_file(file, "/file").build().object_id != first


def test_a_dockerfile_is_built_with_its_context(look: Look, base: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"ARG GREETING=none\nFROM {base} AS first\nARG GREETING\nCOPY . /all\n"
        'RUN echo "$GREETING" \\\n    > /said\n# a comment\n'
        'FROM first\nRUN useradd --uid 4711 someone\nUSER someone\nENTRYPOINT ["/bin/false"]\n'
    )
    (tmp_path / ".dockerignore").write_text("*.secret\nDockerfile\n")
    (tmp_path / "a.secret").write_text("")
    (tmp_path / "b.txt").write_text("")
    image = Image.from_dockerfile(tmp_path / "Dockerfile", build_args={"GREETING": "hello"})
    after = image.apt_install("jq").run_commands("id -u > /tmp/who")
    printed = look(after, "sh", "-c", "cat /said /tmp/who; ls -A /all; id -u; command -v jq")
    assert printed.split() == ["hello", "4711", ".dockerignore", "b.txt", "4711", "/usr/bin/jq"]


def test_an_image_with_its_own_entrypoint_and_user_runs_functions(
    service: OwnService, base: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base}\nRUN useradd --uid 4711 someone\nUSER someone\nWORKDIR /tmp\n"
        'ENTRYPOINT ["/bin/false"]\nCMD ["never"]\n'
        # For the user's next build, not for the layer that the runner is in.
        "ONBUILD RUN test -f package.json\n"
        # Where the image works there may be anything, also what is called as a module of Python's own.
        "RUN echo 'raise SystemExit(9)' > compileall.py\n"
    )
    app = wherry.App("own-entrypoint")

    def who() -> tuple[int, str]:
        import os

        return os.getuid(), os.getcwd()

    handle = app.function(serialized=True, image=Image.from_dockerfile(tmp_path / "Dockerfile"))(who)
    with app.run():
        assert handle.remote() == (4711, "/tmp")


def test_lines_of_a_dockerfile_are_added(look: Look, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    image = (
        Image.debian_slim()
        .dockerfile_commands("COPY some/file /file", "ENV A=b", "RUN echo $A \\", "  > /said", context_files={
            "some/file": tmp_path / "one"
        })
        .dockerfile_commands(["RUN echo again >> /said"])
    )  # fmt: skip
    assert look(image, "sh", "-c", "cat /file /said") == "1b\nagain\n"


def test_an_image_says_how_it_is_run(look: Look, service: OwnService) -> None:
    image = (
        Image.debian_slim()
        .shell(["/bin/bash", "-c"])
        .run_commands("[[ a == a ]] && echo {1..3} > /bash")
        .env({"A": "b"})
        .entrypoint(["/usr/bin/env"])
        .cmd(["sh", "-c", "cat /bash; echo $A"])
    )
    (image_id,) = ensure_images(default_client(), [image], bare=True)
    engine = docker.from_env()
    try:
        printed = printed_by(engine, f"wherry/image:{image_id.removeprefix('im-')}")
    finally:
        engine.close()
    assert printed == "1 2 3\nb\n"


def test_an_image_without_python_gets_one_and_runs_functions(service: OwnService, base: str, tmp_path: Path) -> None:
    # Busybox and musl's loader, as Alpine is made of; nothing of glibc.
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base} AS parts\n"
        "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends busybox-static musl\n"
        "FROM scratch\nCOPY --from=parts /bin/busybox /bin/sh\n"
        "COPY --from=parts /lib/ld-musl-x86_64.so.1 /lib/\n"
    )
    bare = Image.from_dockerfile(tmp_path / "Dockerfile")
    app = wherry.App("no-python")

    def look() -> tuple[str, bool, str]:
        import os
        import sys

        import six

        return sys.executable, os.path.exists("/lib/x86_64-linux-gnu"), six.__version__

    with pytest.raises(wherry.exception.ImageBuildError, match=r'it has no python3: .*add_python="3\.13"'):
        bare.build()
    with_python = Image.from_dockerfile(tmp_path / "Dockerfile", add_python="3.11").pip_install("six==1.16.0")
    handle = app.function(serialized=True, image=with_python)(look)
    with app.run():
        assert handle.remote() == ("/opt/python/bin/python3", False, "1.16.0")


def test_an_image_is_made_of_nothing_or_of_another(look: Look) -> None:
    first = Image.debian_slim().run_commands("echo first > /first").build()
    assert look(Image.from_id(first.object_id).run_commands("cat /first > /second"), "cat", "/second") == "first\n"
    scratch = Image.from_scratch().env({"A": "b"})
    (image_id,) = ensure_images(default_client(), [scratch], bare=True)
    assert image_id.startswith("im-")
    with pytest.raises(wherry.exception.ImageBuildError, match=r"there is no image im-a{26}"):
        Image.from_id("im-" + "a" * 26).run_commands("true").build()


# Functions


def test_a_function_is_a_step(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Image.debian_slim()
    image = base.run_function(image_steps.make, args=("/srv",), kwargs={"word": "said"}).run_commands(
        "cat /srv/made > /after"
    )
    assert look(image, "cat", "/after") == "said ['one']"
    first = image.build().object_id
    assert (
        base.run_function(image_steps.make, args=("/srv",), kwargs={"word": "said"})
        .run_commands("cat /srv/made > /after")
        .build()
        .object_id
        == first
    )
    monkeypatch.setattr(image_steps, "WORDS", ["two"])
    assert base.run_function(image_steps.make, args=("/srv",), kwargs={"word": "said"}).build().object_id != first
    touched = base.run_function(lambda: Path("/lambda").touch())
    assert look(touched, "ls", "/lambda") == "/lambda\n"
    # What the step ran is no part of the image: a sandbox of it runs its own command.
    sandbox = wherry.Sandbox.create("sh", "-c", "ls /lambda", image=touched)
    sandbox.wait()
    assert sandbox.stdout.read() == "/lambda\n"


def test_a_function_that_fails_fails_the_build_with_its_traceback(service: OwnService) -> None:
    def broken() -> None:
        raise ValueError("no such luck")

    with pytest.raises(wherry.exception.ImageBuildError) as raised:
        Image.debian_slim().run_function(broken).build()
    told = str(raised.value)
    assert "`run_function(broken)` failed: exit code: 1" in told
    assert told.splitlines()[-1] == "ValueError: no such luck"


def test_a_function_has_its_timeout_and_its_memory(service: OwnService) -> None:
    def sleep() -> None:
        import time

        time.sleep(600)

    def grow() -> None:
        data = []
        while True:
            data.append(bytearray(8 << 20))

    base = Image.debian_slim()
    with pytest.raises(wherry.exception.ImageBuildError, match="ran longer than its timeout of 1 s"):
        base.run_function(sleep, timeout=1).build()
    with pytest.raises(wherry.exception.ImageBuildError, match=r"ran out of memory \(64 MiB\)"):
        base.run_function(grow, memory=(32, 64)).build()
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=wherry.instance={service.instance}", "--filter",
         "label=wherry.kind=build"], capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert left.stdout == ""


def test_a_function_has_volumes_and_mounts_while_it_runs(service: OwnService, look: Look, tmp_path: Path) -> None:
    # Words of its own each time: an image that an earlier run built writes nothing to this one's volume.
    own = uuid.uuid4().hex
    (tmp_path / "words").write_text(own)

    def copy() -> None:
        text = Path("/data/in").read_text() + Path("/given/words").read_text()
        Path("/data/out").write_text(text)
        Path("/kept").write_text(text)

    with wherry.Volume.ephemeral() as volume:
        with volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(b"from the volume, "), "in")
        mount = wherry.Mount.from_local_dir(tmp_path, remote_path="/given")
        image = Image.debian_slim().run_function(copy, volumes={"/data": volume}, mounts=[mount])
        assert look(image, "sh", "-c", "cat /kept; ls -A /data /given") == f"from the volume, {own}/data:\n\n/given:\n"
        assert b"".join(volume.read_file("out")) == f"from the volume, {own}".encode()


# Secrets


def test_b65_a_secret_of_a_build_is_in_no_layer_history_or_log(service: OwnService, look: Look) -> None:
    # A build of its own each time: its log is looked at.
    own, value = uuid.uuid4().hex, uuid.uuid4().hex
    secret = wherry.Secret.from_dict({"TOKEN": value, "OTHER": 'it\'s "quoted" $HOME'})

    def use() -> None:
        import hashlib
        import os

        Path("/seen").write_text(hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest())
        print("the token is", os.environ["TOKEN"])

    image = (
        Image.debian_slim()
        .run_commands(f"echo {own}")
        .run_commands('echo "$TOKEN is it"; printf %s "$TOKEN" | sha256sum > /hash', secrets=[secret])
        .run_commands('printf %s "$OTHER" | wc -c > /other', secrets=[secret])
        .dockerfile_commands('RUN echo "$TOKEN"; test -n "$TOKEN"', secrets=[secret])
        .run_function(use, secrets=[secret])
    )  # fmt: skip
    printed = look(image, "sh", "-c", "cut -c1-8 /hash; cut -c1-8 /seen; cat /other; env")
    one, two, count = printed.split()[:3]
    assert one == two
    assert count == "19"
    assert value not in printed
    (image_id,) = ensure_images(default_client(), [image], bare=True)
    tag = f"wherry/image:{image_id.removeprefix('im-')}"
    saved = subprocess.run(["docker", "save", tag], capture_output=True, check=True).stdout
    assert value.encode() not in saved
    history = subprocess.run(["docker", "history", "--no-trunc", tag], capture_output=True, check=True).stdout
    assert value.encode() not in history
    log = (service.state_dir / "images" / "logs" / f"{image_id}.log").read_text()
    assert "**** is it" in log
    assert "the token is ****" in log
    assert value not in log
    for file in service.state_dir.rglob("*"):
        if file.is_file():
            assert value.encode() not in file.read_bytes(), file


# What only containers get


def test_what_is_added_without_copying_rebuilds_nothing(service: OwnService, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("one")
    (tmp_path / "single").write_text("alone")

    def read() -> tuple[str, str, bool]:
        import os

        import tests.waiting

        return (
            Path("/data/a").read_text(),
            Path("/etc/single").read_text(),
            os.path.basename(tests.waiting.__file__) == "waiting.py",
        )

    ids = []
    for text in ("one", "two"):
        (folder / "a").write_text(text)
        app = wherry.App("mounted")
        image = (
            Image.debian_slim()
            .add_local_dir(folder, "/data")
            .add_local_file(tmp_path / "single", "/etc/")
            .add_local_python_source("tests", ignore=["**", "!waiting.py"])
        )
        handle = app.function(serialized=True, include_source=False, image=image)(read)
        with app.run():
            assert handle.remote() == (text, "alone", True)
        ids.append(image.object_id)
    assert ids[0] == ids[1] == Image.debian_slim().build().object_id


def test_a_variable_extends_another(look: Look) -> None:
    image = Image.debian_slim().env({"PATH": "/opt/bin:$PATH", "PRICE": "$NONE ${NONE} 5$"})
    image = image.env({"ALSO": "${PRICE}!"}).run_commands("command -v python3 > /found")
    told = look(image, "sh", "-c", 'cat /found; echo "$PATH"; echo "$ALSO"').splitlines()
    assert told[0].endswith("/python3")
    assert told[1].startswith("/opt/bin:/")
    assert told[2] == "$NONE ${NONE} 5$!"
