"""What is built of this checkout, and what it says that it needs: as people install it, without the repository."""

import ast
import email.message
import email.parser
import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import wherry
from wherry_service.images.runner_layer import RunnerLayer

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "wherry": "client/wherry",
    "wherry_proto": "protos/wherry_proto",
    "wherry_runner": "images/runner/wherry_runner",
    "wherry_service": "service/wherry_service",
}
# Imported where they are there: what needs them says so.
OPTIONAL = {
    "boto3",
    # Imports wherry.mypy, its plugin.
    "mypy",
    # Imports wherry.testing, its fixtures.
    "pytest",
}
# The service is never without the client, which is in the same distribution.
CLIENT = {"wherry", "wherry_proto"}
NAME = re.compile(r"[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `python -m build` makes it: of the source distribution, so that one is whole, too."""
    made = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), str(ROOT)]
    built = subprocess.run(line, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(made.glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of programs that see the installed wheel and what it needs, and nothing of this checkout."""
    place = tmp_path_factory.mktemp("installed")
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*line, "--target", str(place), str(wheel)], check=True, capture_output=True)
    path = os.pathsep.join([str(place), sysconfig.get_path("purelib")])
    # Without `site`, no .pth file leads back to the sources.
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
        "HOME": str(place),
        "WHERRY_STATE_DIR": str(place / "state"),
    }


def python(installed: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-S", "-P", *words]
    return subprocess.run(line, env=installed, cwd=installed["HOME"], capture_output=True, text=True, check=False)


def test_the_wheel_has_all_that_runs_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", *PACKAGES.values()], check=True, capture_output=True
    )
    recipes = ("contained", "debian", "packages", "python", "tools")
    wanted = {"wherry_variable.pth", *(f"wherry_service/images/recipes/{name}.sh" for name in recipes)}
    for path in filter(None, listed.stdout.decode().split("\0")):
        package, root = next((name, root) for name, root in PACKAGES.items() if path.startswith(f"{root}/"))
        wanted.add(package + path.removeprefix(root))
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    # Files that are not committed yet are in it, too.
    assert wanted <= found
    # What comes of npm packages is made beside the code, and committed nowhere.
    made = {name for name in found if name.startswith("wherry_service/ui/static/vendor/")}
    assert {name for name in found - wanted - made if not name.endswith(".py")} == set()
    assert {name.partition("/")[0] for name in found} == {*PACKAGES, "wherry_variable.pth"}
    assert "wherry/py.typed" in found


def test_the_metadata_says_what_it_is(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "wherry"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# Wherry")
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_installed_client_runs_and_its_containers_get_the_same_runner(installed: Mapping[str, str]) -> None:
    code = (
        "import wherry; from wherry_service.images.runner_layer import RunnerLayer; "
        "print(wherry.__file__); print(RunnerLayer().hash)"
    )
    ran = python(installed, "-c", code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"{installed['HOME']}/wherry/__init__.py", RunnerLayer().hash]
    assert python(installed, "-m", "wherry", "--version").stdout == f"wherry {wherry.__version__}\n"


def test_an_installed_client_alone_says_what_is_missing(installed: Mapping[str, str]) -> None:
    # A distribution that is not there, and everything else that is: what `pip install wherry` leaves out.
    hidden = {**installed, "PYTHONPATH": installed["PYTHONPATH"].partition(os.pathsep)[0]}
    code = (
        "import sys, importlib.metadata as m\n"
        f"sys.path.append({sysconfig.get_path('purelib')!r}); found = m.distribution\n"
        "def distribution(name):\n"
        "    if name in ('docker', 'uvloop'): raise m.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "m.distribution = distribution\n"
        "from wherry.cli.main import main; sys.argv = ['wherry', 'app', 'list']; main()"
    )
    ran = python(hidden, "-c", code)
    assert ran.returncode == 3
    assert ran.stderr == (
        "Error: the service can't be started here, since it needs packages that are missing (docker, uvloop): "
        "pip install 'wherry[service]', or set WHERRY_SERVER_URL to a service that runs elsewhere\n"
    )


# The runner's own needs are none: what it imports besides is in the image, or it does without.
@pytest.mark.parametrize("package", ["wherry", "wherry_proto", "wherry_service"])
def test_all_that_is_imported_is_declared(package: str, metadata: email.message.Message) -> None:
    requirements = metadata.get_all("Requires-Dist", [])
    everyones = {name_of(text) for text in requirements if "extra ==" not in text}
    services = {name_of(text) for text in requirements if "extra == 'service'" in text}
    declared = everyones | services if package == "wherry_service" else everyones
    distributions = importlib.metadata.packages_distributions()
    ours = CLIENT | {package}
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in (ROOT / PACKAGES[package]).rglob("*.py")
        for module in imported(path) - sys.stdlib_module_names - ours - OPTIONAL
        if not {name.lower().replace("_", "-") for name in distributions.get(module, ())} & declared
    }
    assert undeclared == set()


def test_nobody_is_made_to_install_what_only_others_need(metadata: email.message.Message) -> None:
    requirements = metadata.get_all("Requires-Dist", [])
    everyones = {name_of(text) for text in requirements if "extra ==" not in text}
    used = {module for name in CLIENT for path in (ROOT / PACKAGES[name]).rglob("*.py") for module in imported(path)}
    distributions = importlib.metadata.packages_distributions()
    needed = {name.lower().replace("_", "-") for module in used for name in distributions.get(module, ())}
    assert everyones - needed == set()


def test_no_code_of_protoc_is_shipped_which_refuses_older_protobufs(metadata: email.message.Message) -> None:
    # Projects pin older ones; an app's own protobuf must not be replaced.
    texts = [path.read_text() for path in (ROOT / "protos/wherry_proto").rglob("*.py")]
    assert not any("runtime_version" in text or "_builder" in text for text in texts)
    assert "protobuf>=4.25" in metadata.get_all("Requires-Dist", [])


def name_of(requirement: str) -> str:
    match = NAME.match(requirement)
    assert match is not None
    return match[0].lower().replace("_", "-")


def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports, at whatever place; not those that only type checkers read."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.fixture(scope="module")
def with_modal(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an empty environment with the wheels that `pip install wherry[modal]` installs, and no more."""
    made = tmp_path_factory.mktemp("modal")
    line = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        str(made),
        str(ROOT / "extras/modal"),
    ]
    built = subprocess.run(line, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (extra,) = made.glob("*.whl")
    venv.create(made / "venv", symlinks=True)
    python = made / "venv/bin/python"
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    subprocess.run([*line, "--no-deps", "--no-index", str(wheel), str(extra)], check=True, capture_output=True)
    return python


MODAL = """
import modal, sys
import modal.exception
import wherry
assert modal is wherry
assert modal.exception is wherry.exception
app = modal.App("program")

@app.function(image=modal.Image.debian_slim().pip_install("numpy"), secrets=[modal.Secret.from_name("mine")])
def f(): pass

print(list(app.registered_functions), modal.__file__.startswith(sys.prefix))
"""


@pytest.mark.parametrize(
    ("given", "has_other", "said"),
    [
        ("", False, "['f'] True"),
        ("0", False, "ModuleNotFoundError: No module named 'modal'"),
        # A package of that name is never hidden by what is installed, only by what is asked for.
        ("", True, "the other one"),
        ("1", True, "['f'] True"),
    ],
)
def test_with_the_extra_modal_is_wherry_where_there_is_no_other(
    with_modal: Path, tmp_path: Path, given: str, has_other: bool, said: str
) -> None:
    if has_other:
        (tmp_path / "modal.py").write_text("raise SystemExit('the other one')")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), "WHERRY_MODAL": given}
    ran = subprocess.run([with_modal, "-c", MODAL], env=env, cwd="/", capture_output=True, text=True, check=False)
    assert said in ran.stdout + ran.stderr, ran.stderr
