"""How the steps of an image become a Dockerfile, whatever their texts contain."""

import contextlib
import json
import shlex
from collections.abc import Iterable

import pytest

from wherry_proto.messages import FunctionSpec, ImageDefinition, ImageStep, SourceFile
from wherry_service.errors import InvalidRequest
from wherry_service.images.definition import OTHERS, image_id
from wherry_service.images.maker import Making, steps_of
from wherry_service.images.render import Instruction, Lent, dockerfile, registry_reference
from wherry_service.images.steps import stage_ids, stages

NASTY = ["it's", 'say "x"', "back\\slash", "end\\", "$HOME ${HOME} $(id)", "`id`", "# none", "ünï", " a  b ", '\\$\\"']


def step(kind: str, *args: str, **options: str) -> ImageStep:
    return ImageStep(kind=kind, args=list(args), options=options)


def instructions(steps: Iterable[ImageStep], lent: Lent) -> list[Instruction]:
    (stage,) = stages(ImageDefinition(steps=[step("debian_slim"), *steps]), lent)
    return stage.instructions


def rendered(*steps: ImageStep, lent: Lent = Lent()) -> str:  # noqa: B008 - immutable
    return dockerfile("base", instructions(steps, lent))


def command_of(text: str) -> str:
    """The shell command of a Dockerfile's only RUN."""
    (line,) = [line for line in text.splitlines() if line.startswith("RUN ")]
    shell, flag, command = json.loads(line[line.index("[") :])
    assert (shell, flag) == ("/bin/sh", "-c")
    assert isinstance(command, str)
    return command


def unquoted(text: str) -> str:
    """What a Dockerfile's double quotes hold: in them a backslash escapes itself, a quote and a dollar."""
    assert text[0] == text[-1] == '"'
    found, rest = "", text[1:-1]
    while rest:
        assert rest[0] not in '"$'
        if rest[0] == "\\":
            rest = rest[1:]
            assert rest[0] in '\\"$'
        found, rest = found + rest[0], rest[1:]
    return found


def test_a_chain_becomes_a_dockerfile() -> None:
    text = rendered(
        step("apt_install", "git", "curl"),
        step("pip_install", "six", "numpy<2"),
        step("run_commands", "echo 'hello' > /greeting", "ls"),
        step("env", GREETING='say "hi"', PATH="/opt/bin:$PATH"),
        step("workdir", "/srv/app"),
    )
    assert text == (
        "FROM base\n"
        "RUN --mount=type=cache,id=wherry-apt,target=/var/cache/apt,sharing=locked "
        "--mount=type=cache,id=wherry-apt-lists,target=/var/lib/apt/lists,sharing=locked "
        '["/bin/sh", "-c", "rm -f /etc/apt/apt.conf.d/docker-clean; export DEBIAN_FRONTEND=noninteractive; '
        'apt-get update -qq && apt-get install -y -qq --no-install-recommends curl git"]\n'
        'RUN --mount=type=cache,id=wherry-pip,target=/root/.cache/pip ["/bin/sh", "-c", "export HOME=/root '
        "PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off "
        "PIP_BREAK_SYSTEM_PACKAGES=1; python3 -m pip install --no-compile 'numpy<2' six && { python3 -I -c \\\"import "
        "compileall, sysconfig; [compileall.compile_dir(sysconfig.get_path(name), quiet=2, workers=0) "
        "for name in {'purelib', 'platlib'}]\\\" || true; }\"]\n"
        'RUN ["/bin/sh", "-c", "echo \'hello\' > /greeting"]\n'
        'RUN ["/bin/sh", "-c", "ls"]\n'
        'ENV GREETING="say \\"hi\\"" PATH="/opt/bin:${PATH:-\\$PATH}"\n'
        'WORKDIR "/srv/app"\n'
    )


def test_what_the_host_lends_is_mounted_and_never_baked_in() -> None:
    assert rendered(step("run_commands", "true"), step("env", A="1"), lent=Lent(ca=True, pip=True)) == (
        "FROM base\n"
        "RUN --mount=type=secret,id=wherry-ca,target=/run/wherry-build/ca.crt,mode=0444 "
        "--mount=type=secret,id=wherry-pip,target=/run/wherry-build/pip.conf,mode=0444 "
        '["/bin/sh", "-c", "export PIP_CERT=/run/wherry-build/ca.crt SSL_CERT_FILE=/run/wherry-build/ca.crt '
        "REQUESTS_CA_BUNDLE=/run/wherry-build/ca.crt CURL_CA_BUNDLE=/run/wherry-build/ca.crt "
        "NODE_EXTRA_CA_CERTS=/run/wherry-build/ca.crt GIT_SSL_CAINFO=/run/wherry-build/ca.crt; "
        'export PIP_CONFIG_FILE=/run/wherry-build/pip.conf; true"]\n'
        'ENV A="1"\n'
    )


def test_pip_gets_its_options_before_its_packages() -> None:
    options = {"index_url": "https://i/?a=1&b", "find_links": "/a b", "pre": "true", "extra_options": "--no-deps -v"}
    words = shlex.split(command_of(rendered(step("pip_install", "six", **options))))
    assert words[words.index("install") + 1 :] == [
        "--index-url",
        "https://i/?a=1&b",
        "--find-links",
        "/a b",
        "--pre",
        "--no-deps",
        "-v",
        "six",
    ]


def test_steps_are_titled_as_a_person_calls_them() -> None:
    steps = [
        step("apt_install", "git"),
        step("pip_install", "six", "attrs"),
        step("run_commands", "a", "b"),
        step("env", B="2", A="1"),
        step("workdir", "/srv"),
    ]
    assert [instruction.title for instruction in instructions(steps, Lent())] == [
        "apt install git",
        "pip install attrs six",
        "run a",
        "run b",
        "env A B",
        "workdir /srv",
    ]


@pytest.mark.parametrize("kind", ["apt_install", "pip_install", "run_commands", "env"])
def test_a_step_of_nothing_is_no_instruction(kind: str) -> None:
    assert rendered(step(kind)) == "FROM base\n"


# Quoting


@pytest.mark.parametrize("command", [*NASTY, "a\nb", "a\r\nRUN b", "<<EOF"])
def test_a_command_reaches_the_shell_as_it_is(command: str) -> None:
    text = rendered(step("run_commands", command))
    assert text.count("\n") == 2
    assert command_of(text) == command


@pytest.mark.parametrize("text", [*NASTY, "six\nevil", "six; evil", "six && evil"])
def test_a_python_package_is_one_word(text: str) -> None:
    for named in (step("pip_install", text), step("pip_install", "six", index_url=text)):
        assert text in shlex.split(command_of(rendered(named)))


@pytest.mark.parametrize("value", [*(text for text in NASTY if "$HOME" not in text), "$1 $$", "", "=", "a\tb"])
def test_the_value_of_a_variable_is_kept(value: str) -> None:
    assert unquoted(rendered(step("env", A=value)).removeprefix("FROM base\nENV A=").removesuffix("\n")) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$PATH:/x", "${PATH:-\\$PATH}:/x"),
        ("/x:${PATH}", "/x:${PATH:-\\${PATH\\}}"),
        ('"$A"$B_2', '\\"${A:-\\$A}\\"${B_2:-\\$B_2}'),
        # No name, or one that is to stay.
        ("$ $1 $$ ${} ${1} ${A:-x} $(A)", "\\$ \\$1 \\$\\$ \\${} \\${1} \\${A:-x} \\$(A)"),
        ("\\$PATH", "\\\\\\$PATH"),
        ("pa$$w0rd", "pa\\$${w0rd:-\\$w0rd}"),
    ],
)
def test_a_value_names_other_variables(value: str, text: str) -> None:
    assert rendered(step("env", A=value)) == f'FROM base\nENV A="{text}"\n'


@pytest.mark.parametrize("path", ["/" + text for text in NASTY])
def test_the_name_of_a_directory_is_kept(path: str) -> None:
    assert unquoted(rendered(step("workdir", path)).removeprefix("FROM base\nWORKDIR ").removesuffix("\n")) == path


# What is refused


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (step("apt_install", "git; rm -rf /"), "'git; rm -rf /' is not the name of a package"),
        (step("apt_install", "git\nevil"), r"'git\\nevil' is not the name of a package"),
        (step("apt_install", "git\n"), r"'git\\n' is not the name of a package"),
        (step("apt_install", "-y"), "'-y' is not the name of a package"),
        (step("apt_install", ""), "'' is not the name of a package"),
        (step("pip_install", "six", "--index-url=x"), "'--index-url=x' is an option: use extra_options="),
        (step("env", **{"A B": "1"}), "'A B' is not the name of a variable"),
        (step("env", **{"A=1 B": "1"}), "'A=1 B' is not the name of a variable"),
        (step("env", **{"A\n": "1"}), r"'A\\n' is not the name of a variable"),
        (step("env", **{"": "1"}), "'' is not the name of a variable"),
        (step("env", **{"1A": "1"}), "'1A' is not the name of a variable"),
        (step("env", A="1\nRUN evil"), "the value of A spans lines"),
        (step("env", A="1\rRUN evil"), "the value of A spans lines"),
        (step("workdir", "relative"), "'relative' is not an absolute path"),
        (step("workdir", "$HOME"), "is not an absolute path"),
        (step("workdir", "/a\nRUN evil"), "is not an absolute path"),
        (step("workdir", "/a\r"), "is not an absolute path"),
        (step("workdir", "/a", "/b"), "'/a /b' is not an absolute path"),
        (step("workdir"), "is not an absolute path"),
    ],
)
def test_what_can_not_be_rendered_is_named(bad: ImageStep, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        rendered(bad)


@pytest.mark.parametrize("reference", ["", "python 3", "python\nRUN evil", "python\n", "-x", "$IMAGE", "a AS b"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an image reference"):
        registry_reference(step("from_registry", reference))


@pytest.mark.parametrize("reference", ["python:3.12-slim", "registry:5000/a/b@sha256:0f"])
def test_a_reference_is_taken_as_it_is(reference: str) -> None:
    assert registry_reference(step("from_registry", reference)) == reference


@pytest.mark.parametrize("name", ["[slug].js", "p$HOME.txt", "a\\b.txt", "*", "?"])
def test_a_file_is_copied_by_no_name_that_docker_could_read_otherwise(name: str) -> None:
    (only,) = instructions(
        [
            ImageStep(
                kind="copy",
                args=[f"/c/{name}"],
                options={"file": "true"},
                files=[SourceFile(path=name, blob_id="sha256:a")],
            )
        ],
        Lent(),
    )
    source, target = json.loads(only.text.removeprefix("COPY "))
    assert source == "s1/file"
    # Docker reads variables and escapes in a target.
    assert target == f"/c/{name}".replace("\\", "\\\\").replace("$", "\\$")
    assert name in only.title


@pytest.mark.parametrize("kind", sorted(OTHERS))
@pytest.mark.parametrize("args", [[], ["x"]])
def test_steps_without_what_they_need_are_refused_in_words(kind: str, args: list[str]) -> None:
    definition = ImageDefinition(steps=[ImageStep(kind="debian_slim"), ImageStep(kind=kind, args=args)])
    with contextlib.suppress(InvalidRequest):
        stages(definition, Lent())
    # Whoever only asks what an image is built by way of is told of none: pruning others goes on.
    assert isinstance(stage_ids(definition), list)


def test_an_environment_of_conda_comes_from_one_file() -> None:
    definition = ImageDefinition(steps=[ImageStep(kind="conda"), ImageStep(kind="conda_update")])
    with pytest.raises(InvalidRequest, match="takes one file: the environment"):
        stages(definition, Lent())


def test_each_stage_knows_the_whole_chain_that_its_image_is_made_by() -> None:
    def alone() -> ImageStep:
        return step("dockerfile_commands", "COPY a /a")

    definition = ImageDefinition(
        steps=[step("debian_slim"), alone(), step("run_commands", "one"), step("workdir", "/srv"), alone(), alone()]
    )
    plan = stages(definition, Lent())
    assert [len(stage.definition.steps) for stage in plan] == [1, 2, 4, 5, 6]
    assert [image_id(stage.definition) for stage in plan] == [stage.image_id for stage in plan]


def test_steps_are_shown_as_people_call_them() -> None:
    steps = [
        ImageStep(kind="debian_slim", options={"python_version": "3.11"}),
        ImageStep(kind="pip_install", args=["six", "numpy<2"]),
        ImageStep(kind="run_commands", args=["echo a  b"]),
        ImageStep(kind="run_function", args=["fetch"], function=FunctionSpec(name="fetch")),
        ImageStep(kind="env", options={"A": "1"}),
    ]
    assert steps_of(ImageDefinition(steps=steps)) == [
        "FROM wherry/base:bookworm",
        "pip install 'numpy<2' six",
        "run echo a  b",
        "run_function fetch",
        "env A",
    ]
    own = ImageStep(kind="dockerfile", args=["FROM debian:12\nRUN echo  x\n"])
    assert steps_of(ImageDefinition(steps=[own])) == ["FROM debian:12", "RUN echo x"]


def test_steps_are_counted_over_all_stages() -> None:
    run = step("run_function")
    run.function = FunctionSpec(name="fill", module_name="m", qualname="fill")
    definition = ImageDefinition(steps=[step("debian_slim"), step("run_commands", "a", "b"), run, step("env", A="1")])
    plan = stages(definition, Lent())
    assert [stage.num_steps for stage in plan] == [2, 1, len(plan[-1].titles)]
    begun: list[tuple[int, int]] = []
    making = Making("im-1", lambda line: None, lambda title, seconds, cached: None, lambda *at: begun.append(at))
    making.num_steps = sum(stage.num_steps for stage in plan)
    making.num_done = plan[0].num_steps
    making.begun(1)
    making.begun(9)
    assert begun == [(3, making.num_steps), (making.num_steps, making.num_steps)]
