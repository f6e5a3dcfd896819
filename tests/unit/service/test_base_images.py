"""The bootstrap of a base and its import, with a debootstrap, a tar and an engine that do what the test says."""

import asyncio
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from wherry_service.errors import InvalidRequest, Unready
from wherry_service.images import base_ways, host
from wherry_service.images.base import BaseImages
from wherry_service.images.base_ways import LOCALE, LOCALE_LABEL, BaseError, import_root
from wherry_service.images.host import BuildCli
from wherry_service.images.settings import ImageSettings

PACKAGES = ImageSettings(base="debootstrap")

Command = Callable[[str, str], Path]

# `debootstrap --variant=… --cache-dir=… --include=… SUITE ROOT`
ROOT = 'mkdir -p "$5/usr/bin" "$5/usr/share/doc"; echo "I: Retrieving a"; echo "I: Base system installed"'


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Put a shell script on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(
    ("tar", "engine", "code", "done"),
    [
        ("echo whole", "cat >/dev/null", 0, ["import"]),
        ("echo part; exit 2", "cat >/dev/null", 1, ["import", "rmi"]),
        ("echo whole", "cat >/dev/null; exit 125", 1, ["import"]),
    ],
)
def test_an_import_is_whole_or_none(
    command: Command, tmp_path: Path, tar: str, engine: str, code: int, done: list[str]
) -> None:
    command("tar", tar)
    docker = command("docker", f'echo "$1" >>{tmp_path}/done; [ "$1" != import ] || {{ {engine}; }}')
    root = tmp_path / "root"
    root.mkdir()

    lines: list[str] = []
    assert asyncio.run(import_root(root, str(docker), "wherry/base:test", lines.append)) == code
    assert (tmp_path / "done").read_text().split() == done
    assert ("tar could not pack the base" in lines) == (done[-1] == "rmi")


def cli_of(docker: Path) -> BuildCli:
    return BuildCli((str(docker), "build"), str(docker))


def ensured(bases: BaseImages, docker: Path, python: str = "3.11", on_log: Callable[[str], None] = str) -> str:
    return asyncio.run(bases.ensure(python, cli_of(docker), on_log))


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_a_base_is_made_once_whoever_asks(command: Command, tmp_path: Path) -> None:
    engine = FakeEngine({})
    command("debootstrap", f"echo $4 >>{tmp_path}/made; {ROOT}")
    docker = command("docker", f'tar -t >>{tmp_path}/packed; echo "$@" >>{tmp_path}/imported')
    bases = BaseImages(engine, tmp_path / "work", PACKAGES)
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line == "importing it into the engine":
            engine.images_here["wherry/base:bookworm"] = {LOCALE_LABEL: LOCALE}

    async def main() -> list[str]:
        return await asyncio.gather(*(bases.ensure(version, cli_of(docker), hear) for version in ("3.11", "", "3.11")))

    assert asyncio.run(main()) == ["wherry/base:bookworm"] * 3
    assert (tmp_path / "made").read_text().split() == ["bookworm"]
    assert "./usr/bin/python" in (tmp_path / "packed").read_text().split()
    assert (tmp_path / "imported").read_text().endswith("- wherry/base:bookworm\n")
    assert lines[1:] == ["Base system installed", "importing it into the engine"]
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.usefixtures("as_root")
def test_a_bootstrap_that_fails_once_is_tried_again(command: Command, tmp_path: Path) -> None:
    engine = FakeEngine({})
    # Of what the first attempt has left the packages serve the second, and the rest must not be in its way.
    fetched = "${2#--cache-dir=}/fetched"
    fails = f"[ -e {fetched} ] || {{ mkdir $5; touch {fetched}; echo 'E: no packages'; exit 1; }}"
    command("debootstrap", f"{fails}; [ ! -e $5 ] || exit 2; {ROOT}")
    docker = command("docker", "cat >/dev/null")
    bases = BaseImages(engine, tmp_path / "work", PACKAGES)
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line == "importing it into the engine":
            engine.images_here["wherry/base:bookworm"] = {LOCALE_LABEL: LOCALE}

    assert asyncio.run(bases.ensure("3.11", cli_of(docker), hear)) == "wherry/base:bookworm"
    assert "debootstrap failed (E: no packages); trying again" in lines


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("debootstrap", "tar", "told"),
    [
        ("echo 'E: no such suite'; exit 1", "", "from Debian bookworm could not be made:\nE: no such suite"),
        (ROOT, "exit 2", "from Debian bookworm could not be imported:.*\ntar could not pack the base"),
    ],
)
def test_a_base_that_can_not_be_made_is_told(
    command: Command, tmp_path: Path, debootstrap: str, tar: str, told: str
) -> None:
    command("debootstrap", debootstrap)
    command("tar", tar)
    docker = command("docker", "[ $1 = rmi ] || cat >/dev/null")
    with pytest.raises(BaseError, match=f"(?s){told}$"):
        ensured(BaseImages(FakeEngine({}), tmp_path / "work", PACKAGES), docker)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_python_that_debian_has_not_is_told(command: Command, tmp_path: Path) -> None:
    told = "Python 2.7 can't be had for debian_slim here: from Debian's packages there are 3.11, 3.13"
    with pytest.raises(InvalidRequest, match=told):
        ensured(BaseImages(FakeEngine({}), tmp_path / "work", PACKAGES), command("docker", ""), "2.7")
    assert not (tmp_path / "work").exists()


def test_a_base_that_is_there_needs_nothing(command: Command, tmp_path: Path) -> None:
    bases = BaseImages(FakeEngine({"wherry/base:trixie": {LOCALE_LABEL: LOCALE}}), tmp_path / "work", PACKAGES)
    assert ensured(bases, tmp_path / "no-docker", "3.13") == "wherry/base:trixie"


@pytest.mark.parametrize(("code", "told"), [(0, []), (1, ["wherry/base:trixie stays without LANG=C.UTF-8: no room"])])
def test_a_base_of_an_earlier_version_gets_a_locale(
    command: Command, tmp_path: Path, code: int, told: list[str]
) -> None:
    docker = command(
        "docker",
        f'echo "$@" >>{tmp_path}/asked\ncase $1 in create) echo made;; commit) echo no room; exit {code};; esac',
    )
    bases = BaseImages(FakeEngine({"wherry/base:trixie": {}}), tmp_path / "work", PACKAGES)
    lines: list[str] = []
    assert asyncio.run(bases.ensure("3.13", cli_of(docker), lines.append)) == "wherry/base:trixie"
    assert lines == told
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["create", "commit", "rm"]
    assert "--change ENV LANG=C.UTF-8" in asked[1]
    assert asked[1].endswith(" made wherry/base:trixie")


# From a registry

DOCKER = """
echo "$@" >>{folder}/asked
case $1 in
image) exit {local} ;;
pull) {pull} ;;
build)
    for context; do :; done
    cat "$context/Dockerfile" >{folder}/dockerfile; ls "$context" >{folder}/context ;;
import) cat >{folder}/imported ;;
esac
"""


def registry(command: Command, folder: Path, pull: str, *, local: int = 1) -> Path:
    """Return a docker CLI whose registry does that."""
    return command("docker", DOCKER.format(folder=folder, pull=pull, local=local))


def bases(folder: Path, base: str, **settings: str) -> BaseImages:
    return BaseImages(FakeEngine({}), folder / "work", ImageSettings(base=base, **settings))


def asked(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "asked").read_text().splitlines()]


ANSWERS = "echo 'bookworm-slim: Pulling from library/debian'"


@pytest.mark.parametrize("base", ["auto", "registry"])
def test_where_a_registry_answers_its_debian_becomes_the_base(command: Command, tmp_path: Path, base: str) -> None:
    docker = registry(command, tmp_path, ANSWERS)
    lines: list[str] = []
    assert ensured(bases(tmp_path, base), docker, "3.11", lines.append) == "wherry/base:bookworm"
    assert lines == ["making the base image from debian:bookworm-slim of a registry, once (about half a minute)"]
    assert asked(tmp_path) == ["image", "pull", "build"]
    assert "--tag=wherry/base:bookworm" in (tmp_path / "asked").read_text()
    made = (tmp_path / "dockerfile").read_text().splitlines()
    assert made[0] == "FROM debian:bookworm-slim"
    assert {'CMD ["python3"]', f"ENV LANG={LOCALE}"} <= set(made)
    assert made[-1] == f"LABEL wherry.kind=base {LOCALE_LABEL}={LOCALE} wherry.base=registry"
    assert (tmp_path / "context").read_text().split() == ["Dockerfile", "packages.sh"]
    assert list((tmp_path / "work").iterdir()) == []


def test_the_registrys_image_is_a_setting_and_one_that_is_here_is_not_pulled(command: Command, tmp_path: Path) -> None:
    docker = registry(command, tmp_path, "exit 1", local=0)
    own = bases(tmp_path, "registry", base_image="own:5000/debian:{suite}-python{version}")
    ensured(own, docker, "3.13")
    assert asked(tmp_path) == ["image", "build"]
    assert (tmp_path / "dockerfile").read_text().startswith("FROM own:5000/debian:trixie-python3.13\n")


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("pull", "told"),
    [
        ("echo 'lookup registry: no such host' >&2; exit 1", "no registry gave debian:bookworm-slim: lookup registry"),
        ("exec sleep 60", "no registry said anything of debian:bookworm-slim within 0.2 s"),
    ],
)
def test_where_none_answers_the_base_is_made_of_packages(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pull: str, told: str
) -> None:
    monkeypatch.setattr(base_ways, "REGISTRY_WITHIN_S", 0.2 if "sleep" in pull else 60)
    command("debootstrap", ROOT)
    docker = registry(command, tmp_path, pull)
    lines: list[str] = []
    ensured(bases(tmp_path, "auto"), docker, "3.11", lines.append)
    assert lines[1].startswith(told)
    assert lines[2] == "making the base image from Debian bookworm packages, once (about a minute)"
    assert asked(tmp_path) == ["image", "pull", "import"]
    with pytest.raises(BaseError, match=told):
        ensured(bases(tmp_path, "registry"), docker)


def test_a_registry_that_answers_may_take_its_time(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_ways, "REGISTRY_WITHIN_S", 1.0)
    # It ends long after that, once this test has seen that it was not ended.
    docker = registry(command, tmp_path, f"{ANSWERS}; n=0; while [ $n -lt 12 ]; do sleep 0.1; n=$((n + 1)); done")
    ensured(bases(tmp_path, "registry"), docker)
    assert asked(tmp_path) == ["image", "pull", "build"]


# In a container


@pytest.fixture
def as_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("as_a_user")
def test_a_user_without_root_makes_it_in_a_container(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_ways, "_KEYRING", tmp_path)
    command("debootstrap", "exit 7")
    docker = command(
        "docker",
        f"""
        echo "$1" >>{tmp_path}/asked
        case $1 in
        import) for tag; do :; done; cat >"{tmp_path}/${{tag##*/}}"; echo "$@" >>{tmp_path}/imports ;;
        run)
            printf '%s\n' "$@" >{tmp_path}/run
            echo 'I: Retrieving a' >&2; echo 'I: Base system installed' >&2; echo a tar ;;
        esac
        """,
    )
    lines: list[str] = []
    assert ensured(bases(tmp_path, "debootstrap"), docker, "3.11", lines.append) == "wherry/base:bookworm"
    assert lines == [
        "making the base image from Debian bookworm packages in a container, once (a minute or two)",
        "Base system installed",
    ]
    assert sorted(asked(tmp_path)) == ["import", "import", "rm", "rmi", "run"]
    assert (tmp_path / "base:bookworm").read_text() == "a tar\n"
    assert "wherry.base=container" in (tmp_path / "imports").read_text().splitlines()[-1]
    run = (tmp_path / "run").read_text().splitlines()
    # This machine's programs, which it can't change, and nothing else of it.
    volumes = [word for word in run if word.startswith("--volume=")]
    assert {"--volume=/usr:/usr:ro", "--volume=/etc:/etc:ro"} <= set(volumes)
    assert all(word.endswith(":ro") for word in volumes)
    assert not any(word.startswith(("--privileged", "--cap-add")) for word in run)
    # An image of this run alone, which no registry is asked for.
    assert "--pull=never" in run
    (helper,) = tmp_path.glob("host-programs:bookworm-*")
    assert f"wherry/{helper.name}" in run
    with tarfile.open(helper) as tar:
        links = {entry.name: entry.linkname for entry in tar if entry.issym()}
    assert links == {name: os.readlink(f"/{name}") for name in ("bin", "sbin", "lib", "lib64") if name in links}


@pytest.mark.usefixtures("as_a_user")
def test_a_container_that_fails_leaves_no_base(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_ways, "_KEYRING", tmp_path)
    command("debootstrap", "exit 7")
    script = f"""
        echo "$1 $2" >>{tmp_path}/asked
        case $1 in
        import) cat >/dev/null ;; run) echo "E: no mirror" >&2; exit 1 ;;
        pull) echo away; exit 1 ;; image) exit 1 ;;
        esac
    """
    docker = command("docker", script)
    told = "(?s)in a container could not be made|could not be made in a container:\n.*E: no mirror"
    with pytest.raises(BaseError, match=told):
        ensured(bases(tmp_path, "debootstrap"), docker)
    assert "rmi wherry/base:bookworm" in (tmp_path / "asked").read_text().splitlines()
    assert list((tmp_path / "work").iterdir()) == []
    # Of all ways that were tried it is said why, and how one is chosen.
    with pytest.raises(
        BaseError, match=r"(?s)no registry gave debian:bookworm-slim: away\n.*E: no mirror.*images\.base"
    ):
        ensured(bases(tmp_path, "auto"), docker)


@pytest.fixture
def without_debootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise Unready("there is none")

    monkeypatch.setattr(host, "debootstrap", none)


@pytest.mark.usefixtures("as_a_user", "without_debootstrap")
def test_debootstrap_is_fetched_where_it_is_not_installed(command: Command, tmp_path: Path) -> None:
    command("apt-get", "[ $2 = download ] && touch one.deb")
    command("dpkg-deb", 'mkdir -p "$3/usr/sbin"')
    docker = command("docker", f'printf "%s\\n" "$@" >>{tmp_path}/asked; [ $1 != import ] || cat >/dev/null')
    lines: list[str] = []
    ensured(bases(tmp_path, "debootstrap"), docker, "3.11", lines.append)
    assert lines[1] == "fetching debootstrap, which is not installed here"
    (lent,) = (line for line in (tmp_path / "asked").read_text().splitlines() if line.endswith(":/tools:ro"))
    assert lent.startswith(f"--volume={tmp_path / 'work' / 'base-bookworm-'}")


@pytest.mark.usefixtures("as_root", "without_debootstrap")
def test_where_it_can_not_be_fetched_it_is_told(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("apt-get", "echo 'E: no lists' >&2; exit 100")
    docker = command("docker", "")
    with pytest.raises(Unready, match=r"(?s)could not be fetched; install it:\n.*E: no lists"):
        ensured(bases(tmp_path, "debootstrap"), docker)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(Unready, match=r"debootstrap is not installed, .*: install it\. The setting images\.base"):
        ensured(bases(tmp_path, "debootstrap"), docker)
