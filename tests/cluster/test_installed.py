"""Wherry as people install it: from a built wheel, with pip, pipx and uv, in an empty environment far from here."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry_service.ids import instance_of

pytestmark = pytest.mark.timeout(600)

CHECKOUT = Path(__file__).parents[2]
HELLO = """
import wherry

app = wherry.App("installed")
volume = wherry.Volume.from_name("kept", create_if_missing=True)


@app.function(volumes={"/kept": volume})
def hello(name: str) -> str:
    import os

    with open("/kept/names", "a") as file:
        file.write(name + " ")
    return f"hello {name} from {'a container' if os.environ.get('WHERRY_CONTAINER_ID') else 'nowhere'}"


@app.function(schedule=wherry.Period(days=1))
def nightly() -> None: ...


@app.local_entrypoint()
def main():
    print(hello.remote("anna"))
"""
CALL = "import wherry; print(wherry.Function.from_name('installed', 'hello').remote({!r}))"


class Place:
    """An environment that has only Wherry and what it needs, a home and a folder of its own, a service of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.work = folder / "work"
        self.work.mkdir()
        (folder / "home").mkdir()
        (self.work / "hello.py").write_text(HELLO)
        self.python = folder / "venv/bin/python"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("WHERRY", "PYTHON"))
        }
        self.environment |= {"HOME": str(folder / "home"), "WHERRY_STATE_DIR": str(self.state_dir)}

    def run(self, *line: object, code: int = 0) -> str:
        """Run a command; return what it printed on both streams."""
        words = [str(word) for word in line]
        ended = subprocess.run(
            words, cwd=self.work, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert ended.returncode == code, f"{words}: {ended.stdout}"
        return ended.stdout

    def wherry(self, *words: object, code: int = 0) -> str:
        return self.run(self.python, "-m", "wherry", *words, code=code)

    def install(self, wheel: Path, tool: str = "pip", extra: str = "[service]") -> None:
        """Install a wheel with a tool, which is itself installed beside."""
        what = f"{wheel}{extra}"
        if tool == "pip":
            if not self.python.exists():
                self.run(sys.executable, "-m", "venv", self.folder / "venv")
            self.run(self.python, "-m", "pip", "install", "--quiet", what)
            return
        tools = self.folder / "tools"
        self.run(sys.executable, "-m", "venv", tools)
        self.run(tools / "bin/pip", "install", "--quiet", tool)
        self.environment |= {
            "PIPX_HOME": str(self.folder / "pipx"), "PIPX_BIN_DIR": str(self.folder / "bin"),
            "UV_TOOL_DIR": str(self.folder / "uv"), "UV_TOOL_BIN_DIR": str(self.folder / "bin"),
        }  # fmt: skip
        line = ["uv", "tool", "install"] if tool == "uv" else ["pipx", "install"]
        self.run(tools / "bin" / line[0], *line[1:], "--quiet", "--python", sys.executable, what)
        self.python = (self.folder / "bin/wherry").resolve().parent / "python"


@pytest.fixture
def place() -> Iterator[Place]:
    # Short: the path of a Unix socket has at most 107 characters.
    made = Place(Path(tempfile.mkdtemp(prefix="wh-")))
    try:
        yield made
    finally:
        if (made.state_dir / "server.lock").exists():
            made.run(sys.executable, "-m", "wherry", "server", "purge", "--yes")
        shutil.rmtree(made.folder)


def built(source: Path, folder: Path) -> Path:
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(line, check=True, capture_output=True)
    return next(folder.glob("wherry-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(CHECKOUT, tmp_path_factory.mktemp("dist"))


@pytest.mark.parametrize("tool", ["pip", "uv", "pipx"])
def test_an_installed_wheel_runs_deploys_opens_a_shell_and_goes_again(tool: str, wheel: Path, place: Place) -> None:
    place.install(wheel, tool)
    where = place.run(
        place.python, "-c", "import wherry, wherry_service; print(wherry.__file__, wherry_service.__file__)"
    )
    assert all(word.startswith(str(place.folder)) for word in where.split())
    assert "hello anna from a container\n" in place.wherry("run", "hello.py")
    assert "MARK" in place.wherry("shell", "--no-pty", "-c", "echo MARK", "hello.py::hello")
    place.wherry("deploy", "hello.py")
    assert place.run(place.python, "-c", CALL.format("bo")) == "hello bo from a container\n"
    assert json.loads(place.wherry("system", "df", "--json"))["images"]["count"] > 0
    owner = f"label=wherry.instance={instance_of(place.state_dir / 'run')}"
    assert kept_by(owner)
    assert "Removed all that Wherry kept" in place.wherry("server", "purge", "--yes")
    assert not place.state_dir.exists()
    assert kept_by(owner) == ""
    assert place.wherry("server", "status", code=1).startswith("No service is running")


def kept_by(owner: str) -> str:
    """Return the containers, networks and volumes that the engine has of one service."""
    lines = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
    ran = [["docker", *line, "--quiet", "--filter", owner] for line in lines]
    return "".join(subprocess.run(line, check=True, capture_output=True, text=True).stdout for line in ran)


def test_a_client_alone_says_what_is_missing(wheel: Path, place: Place) -> None:
    place.install(wheel, extra="")
    said = place.wherry("run", "hello.py", code=3)
    assert said.startswith("Error: the service can't be started here, since it needs packages that are missing (")
    assert said.count("\n") == 1
    assert "pip install 'wherry[service]'" in said
    place.run(place.python, "-c", "import wherry, wherry.cli.main")
    assert "pydantic" not in place.run(place.python, "-m", "pip", "list")


def test_a_git_address_installs_it_too(place: Place) -> None:
    place.run(sys.executable, "-m", "venv", place.folder / "venv")
    # With the name before it, as the pages have it, pip takes no address without a host.
    what = f"git+file://{CHECKOUT}"
    place.run(place.python, "-m", "pip", "install", "--quiet", what)
    assert place.wherry("--version").startswith("wherry ")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the last commit whose database was of the version before."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(CHECKOUT), *words], check=True, capture_output=True, text=True).stdout

    migrations = "service/wherry_service/store/migrations/versions"
    added = git("log", "-1", "--format=%H", "--diff-filter=A", "--", migrations).strip()
    source = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(
        ["git", "-C", str(CHECKOUT), "archive", f"{added}^"], check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    return built(source, tmp_path_factory.mktemp("dist"))


def test_an_upgrade_keeps_what_was_there_and_there_is_no_way_back(earlier: Path, wheel: Path, place: Place) -> None:
    place.install(earlier)
    place.wherry("secret", "create", "kept", "WORD=s3cret")
    place.wherry("deploy", "hello.py")
    assert place.run(place.python, "-c", CALL.format("anna")) == "hello anna from a container\n"

    def renew(wheel: Path) -> None:
        # Both are of one version in name.
        place.run(place.python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", wheel)
        place.run(place.python, "-m", "pip", "install", "--quiet", f"{wheel}[service]")

    place.wherry("server", "stop")
    renew(wheel)
    assert place.run(place.python, "-c", CALL.format("bo")) == "hello bo from a container\n"
    assert "database brought from revision" in (place.state_dir / "server.log").read_text()
    said = place.wherry(
        "shell", "--no-pty", "--secret", "kept", "--volume", "kept", "-c", "sh -c 'echo $WORD; cat /mnt/kept/names'"
    )
    assert said.split("\n")[:2] == ["s3cret", "anna bo "]
    (schedule,) = json.loads(place.wherry("schedule", "list", "--json"))
    assert "nightly" in json.dumps(schedule)

    place.wherry("server", "stop")
    renew(earlier)
    assert "it was used by a newer Wherry; install that version" in place.wherry("app", "list", code=3)
    renew(wheel)
    assert "installed" in place.wherry("app", "list")
