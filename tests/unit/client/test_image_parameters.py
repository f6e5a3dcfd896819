"""Parameters of Modal's that steps of images take: env, positions, build_args, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from wherry import Image, Secret, Volume
from wherry._define.build_args import with_args
from wherry._publish.image_files import resolve
from wherry.exception import InvalidError

BASE = Image.debian_slim()
SECRET = Secret.from_dict({"GIT_TOKEN": "x"})


def steps(image: Image) -> list[tuple[str, Any]]:
    return [(step.kind, dict(step.options)) for step in image._steps]


@pytest.mark.parametrize(
    "made",
    [
        lambda env, _: BASE.apt_install("git", env=env),
        lambda env, _: BASE.pip_install("six", env=env),
        lambda env, _: BASE.pip_install_private_repos("h/o/r", git_user="u", secrets=[SECRET], env=env),
        lambda env, here: BASE.pip_install_from_requirements(here / "requirements.txt", env=env),
        lambda env, here: BASE.pip_install_from_pyproject(here / "pyproject.toml", env=env),
        lambda env, here: BASE.poetry_install_from_file(here / "pyproject.toml", env=env),
        lambda env, _: Image.micromamba().micromamba_install("six", env=env),
        lambda env, _: BASE.uv_pip_install("six", env=env),
        lambda env, _: BASE.run_commands("true", env=env),
        lambda env, _: BASE.dockerfile_commands("RUN true", env=env),
    ],
)
def test_env_of_a_step_is_set_before_it_and_stays(made: Any, tmp_path: Path) -> None:
    image = made({"A": "b"}, tmp_path)
    (_, environment, step) = steps(image)
    assert environment == ("env", {"A": "b"})
    assert step[0] != "env"
    assert len(steps(made(None, tmp_path))) == 2


def test_env_of_a_dockerfile_is_set_in_what_it_makes(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    image = Image.from_dockerfile(tmp_path / "Dockerfile", env={"A": "b"}, add_python="3.12")
    assert [kind for kind, _ in steps(image)] == ["dockerfile", "add_python", "env"]


def test_parameters_have_their_places() -> None:
    assert Image.debian_slim("3.12", True)._steps[0].force_build
    assert Image.micromamba("3.12", True)._steps[0].force_build
    assert Image.from_scratch(True)._steps[0].force_build
    assert Image.from_registry("python:3.12", SECRET)._steps[0].secrets == (SECRET,)


@pytest.mark.parametrize(
    "made",
    [
        lambda _: BASE.apt_install("git", gpu="T4"),
        lambda here: Image.from_dockerfile(here / "Dockerfile", gpu="T4"),
    ],
)
def test_a_gpu_of_a_build_is_ignored_with_a_warning(made: Any, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="gpu means nothing to a build") as caught:
        made(tmp_path)
    assert [one.filename for one in caught] == [__file__]


def test_what_a_build_can_not_have_is_refused_with_another_way(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"registry_secret is not in Wherry: .*docker login"):
        Image.from_dockerfile(tmp_path / "Dockerfile", registry_secret=SECRET)
    with pytest.raises(InvalidError, match=r"run_commands volumes is not in Wherry: .*Image\.run_function"):
        BASE.run_commands("true", volumes={"/data": Volume.from_name("v")})
    BASE.run_commands("true", volumes={})


def build(x: int) -> None: ...


def test_run_function_takes_what_means_nothing_here() -> None:
    with pytest.warns(UserWarning, match="region means nothing"):
        BASE.run_function(build, region="eu", cloud=None)
    assert BASE.run_function(build, include_source=True)._steps == BASE.run_function(build)._steps


def test_pipe_gives_the_image_to_a_function() -> None:
    def with_tools(image: Image, *tools: str, clean: bool = False) -> Image:
        return image.apt_install(*tools).run_commands(f"echo {clean}")

    assert BASE.pipe(with_tools, "git", clean=True) == with_tools(BASE, "git", clean=True)
    with pytest.raises(InvalidError, match=r"pipe: .*<lambda> returned None, and no Image"):
        BASE.pipe(lambda image: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("ARG NAME", 'ARG NAME="it is \\"$\\""'),
        ("ARG NAME=default", 'ARG NAME="it is \\"$\\""'),
        ("arg NAME OTHER=$NAME", 'arg NAME="it is \\"$\\"" OTHER="$NAME"'),
        ("ARG OTHER=$NAME", "ARG OTHER=$NAME"),
        ("RUN echo ARG NAME", "RUN echo ARG NAME"),
        ("RUN true\nARG NAME\nRUN false", 'RUN true\nARG NAME="it is \\"$\\""\nRUN false'),
        ("ARG NAME='open", "ARG NAME='open"),
    ],
)
def test_values_of_arg_lines_are_put_into_them(line: str, made: str) -> None:
    expected = made.replace('"it is \\"$\\""', '"it is \\"\\$\\""')
    assert with_args((line,), {"NAME": 'it is "$"'}) == (expected,)


def test_build_args_of_lines_are_part_of_the_step() -> None:
    image = BASE.dockerfile_commands("ARG A", "RUN echo $A", build_args={"A": "1"})
    assert list(resolve(image, None).definition.steps[-1].args) == ['ARG A="1"', "RUN echo $A"]
    with pytest.raises(InvalidError, match="build_args got"):
        BASE.dockerfile_commands("ARG A", build_args={"A": 1})  # type: ignore[dict-item]
