"""Images, built for real."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.acceptance.servers import closing_engine
from tests.acceptance.service import OwnService
from wherry import Image
from wherry_service.images.runner_layer import RunnerLayer

Made = Callable[[Image, Callable[..., Any]], Any]


def nothing() -> None: ...


@pytest.fixture
def made(service: OwnService) -> Iterator[Made]:
    """Run a function in an image."""
    with ExitStack() as stack:

        def make(image: Image, function: Callable[..., Any]) -> Any:
            app = wherry.App("images", image=image)
            handle = app.function(serialized=True)(function)
            stack.enter_context(app.run())
            return handle

        yield make


def test_what_a_chain_says_is_in_the_container(made: Made) -> None:
    def look() -> tuple[str, str, str, str]:
        import os

        version = importlib.metadata.version("six")
        return version, os.environ["GREETING"], os.getcwd(), Path("/made").read_text()

    greeting = 'say "hi" for $5, it\'s a \\ and \\n \\'
    directory = '/srv/it\'s "here" for $5 \\'
    image = (
        Image.debian_slim()
        .pip_install("six==1.16.0")
        .env({"GREETING": greeting})
        .run_commands('printf "%s" "$GREETING" > /made')
        .workdir(directory)
    )
    assert made(image, look).remote() == ("1.16.0", greeting, directory, greeting)


def test_what_only_the_image_has_is_imported_there(environment: dict[str, str], tmp_path: Path) -> None:
    module = "/usr/lib/python3/dist-packages/only_the_image_has_this.py"
    program = tmp_path / "program.py"
    program.write_text(
        "import wherry\n"
        f"""image = wherry.Image.debian_slim().run_commands("echo WORD = 5 > {module}")\n"""
        "app = wherry.App('imports', image=image)\n"
        "with image.imports():\n    import only_the_image_has_this\n"
        "@app.function()\ndef look():\n    print(only_the_image_has_this.WORD)\n"
    )
    line = [sys.executable, "-m", "wherry.cli.main", "run", str(program)]
    ran = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (ran.returncode, ran.stdout) == (0, "5\n"), ran.stderr


def test_a_failing_step_is_named_with_its_log(made: Made) -> None:
    image = Image.debian_slim().run_commands("true", "{ seq 1 40; echo the reason; } >&2; exit 3")
    with pytest.raises(wherry.exception.ImageBuildError) as raised:
        made(image, nothing)
    told = str(raised.value)
    assert "`run { seq 1 40; echo the reason; } >&2; exit 3` failed: exit code: 3" in told
    assert told.count("could not be built") == 1
    # The last 30 lines, and no more.
    assert told.splitlines()[1:] == [*(str(number) for number in range(12, 41)), "the reason"]


def test_what_the_runner_adds_is_small(service: OwnService) -> None:
    image = Image.debian_slim().build()
    with closing_engine() as engine:
        # By its name: an engine that served another version of Wherry has that one's layer on the same image too.
        name = image.object_id.removeprefix("im-")
        ready, alone = (
            engine.images.get(f"wherry/ready:{name}-{RunnerLayer().hash}"),
            engine.images.get(f"wherry/image:{name}"),
        )
        assert 0 < ready.attrs["Size"] - alone.attrs["Size"] < 3 << 20


def test_what_is_loaded_of_the_layer_is_byte_code_without_docstrings_and_columns(made: Made) -> None:
    def look() -> list[tuple[str, str | None, bool, bool]]:
        import importlib
        import os

        rows = []
        for name in ("wherry_runner.runner", "wherry.exception"):
            module = importlib.import_module(name)
            code = module.__spec__.loader.get_code(name)  # type: ignore[union-attr]
            has_columns = hasattr(code, "co_positions") and any(row[2] is not None for row in code.co_positions())
            rows.append((name, module.__doc__, os.path.exists(module.__spec__.cached or ""), has_columns))  # type: ignore[union-attr]
        return rows

    assert made(Image.debian_slim(), look).remote() == [
        ("wherry_runner.runner", None, True, False),
        ("wherry.exception", None, True, False),
    ]


def test_a_step_that_fails_without_a_word_is_named(made: Made) -> None:
    with pytest.raises(wherry.exception.ImageBuildError, match=r"`run exit 3` failed: exit code: 3$"):
        made(Image.debian_slim().run_commands("exit 3"), nothing)


def test_a_package_that_does_not_exist_is_told(made: Made) -> None:
    with pytest.raises(wherry.exception.ImageBuildError, match="nothing-of-the-kind-at-all"):
        made(Image.debian_slim().pip_install("nothing-of-the-kind-at-all"), nothing)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (
            Image.debian_slim("2.7"),
            "Python 2.7 can't be had for debian_slim here: from Debian's packages there are 3.11",
        ),
        (Image.from_registry("not an image"), "'not an image' is not an image reference"),
        (Image.debian_slim().env({"A B": "1"}), "'A B' is not the name of a variable"),
        (Image.debian_slim().env({"A": "1\n2"}), "the value of A spans lines"),
        (
            Image.debian_slim().run_commands("a\0b"),
            "could not be built: image step run_commands: a text contains a NUL",
        ),
    ],
)
def test_what_can_not_be_built_is_told_before_anything_runs(made: Made, image: Image, told: str) -> None:
    with pytest.raises(wherry.exception.Error, match=told):
        made(image, nothing)
