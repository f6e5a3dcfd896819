"""What an image's identity depends on, and how its steps become a Dockerfile."""

import json
from collections.abc import Callable

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images.definition import MAX_STEPS, image_id
from wherry_service.images.progress import Progress
from wherry_service.images.render import Lent, dockerfile, instructions, registry_reference

SLIM = ImageStep(kind="debian_slim", options={"python_version": "3.11"})


def step(kind: str, *args: str, **options: str) -> ImageStep:
    return ImageStep(kind=kind, args=list(args), options=options)


def identity(*steps: ImageStep) -> str:
    return image_id(ImageDefinition(steps=[SLIM, *steps]))


# Identity


def test_the_same_definition_has_the_same_id_everywhere() -> None:
    assert identity(step("pip_install", "six"), step("env", A="1", B="2")) == "im-6vlvzs6nhae7tlbzm2oh4ivirz"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (step("pip_install", "six", "attrs"), step("pip_install", "attrs", "six", "six")),
        (step("apt_install", "git", "curl"), step("apt_install", "curl", "git")),
        (step("env", A="1", B="2"), step("env", B="2", A="1")),
    ],
)
def test_what_means_the_same_is_the_same(one: ImageStep, other: ImageStep) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (step("run_commands", "a", "b"), step("run_commands", "b", "a")),
        (step("env", A="1"), step("env", A="2")),
        (step("pip_install", "six"), step("apt_install", "six")),
        (step("pip_install", "six"), step("pip_install", "six", pre="true")),
        (step("run_commands", "ab"), step("run_commands", "a", "b")),
    ],
)
def test_what_differs_differs(one: ImageStep, other: ImageStep) -> None:
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([], "begins with debian_slim or from_registry"),
        ([step("pip_install", "six")], "begins with debian_slim or from_registry"),
        ([SLIM, step("magic")], "does not know the image step 'magic'"),
        ([SLIM, SLIM], "does not know the image step 'debian_slim'"),
        ([SLIM, *[step("workdir", "/")] * MAX_STEPS], "at most 200 steps, got 201"),
        ([SLIM, step("env", A="a\0b")], "step env: a text contains a NUL"),
    ],
)
def test_what_is_no_image_is_refused(steps: list[ImageStep], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        image_id(ImageDefinition(steps=steps))


# The Dockerfile


def rendered(*steps: ImageStep, lent: Lent = Lent()) -> str:  # noqa: B008 - immutable
    return dockerfile("base", instructions(steps, lent))


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
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked "
        "--mount=type=cache,target=/var/lib/apt/lists,sharing=locked "
        '["/bin/sh", "-c", "rm -f /etc/apt/apt.conf.d/docker-clean; export DEBIAN_FRONTEND=noninteractive; '
        'apt-get update -qq && apt-get install -y -qq --no-install-recommends curl git"]\n'
        'RUN --mount=type=cache,target=/root/.cache/pip ["/bin/sh", "-c", "export PIP_DISABLE_PIP_VERSION_CHECK=1 '
        "PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off; python3 -m pip install 'numpy<2' six\"]\n"
        'RUN ["/bin/sh", "-c", "echo \'hello\' > /greeting"]\n'
        'RUN ["/bin/sh", "-c", "ls"]\n'
        'ENV GREETING="say \\"hi\\"" PATH="/opt/bin:\\$PATH"\n'
        "WORKDIR /srv/app\n"
    )


def test_what_the_host_lends_is_mounted_and_never_baked_in() -> None:
    text = rendered(step("run_commands", "true"), lent=Lent(ca=True, pip=True))
    assert "--mount=type=secret,id=wherry-ca,target=/run/wherry-build/ca.crt,mode=0444" in text
    assert "--mount=type=secret,id=wherry-pip,target=/run/wherry-build/pip.conf,mode=0444" in text
    assert "ENV" not in text
    assert "COPY" not in text


@pytest.mark.parametrize("command", ["a\nb", 'say "x"', "back\\slash", "$(dangerous)", "ünïcödé", "# no comment"])
def test_a_command_reaches_the_shell_as_it_is(command: str) -> None:
    line = rendered(step("run_commands", command)).splitlines()[1]
    assert json.loads(line.removeprefix("RUN ")) == ["/bin/sh", "-c", command]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (step("apt_install", "git; rm -rf /"), "'git; rm -rf /' is not the name of a package"),
        (step("apt_install", "-y"), "'-y' is not the name of a package"),
        (step("pip_install", "--index-url=x"), "is an option: use extra_options="),
        (step("env", **{"A B": "1"}), "'A B' is not the name of a variable"),
        (step("env", A="1\nRUN evil"), "the value of A spans lines"),
        (step("workdir", "relative"), "'relative' is not an absolute path"),
        (step("workdir", "/a\nRUN evil"), "is not an absolute path"),
    ],
)
def test_what_can_not_be_rendered_is_named(bad: ImageStep, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        rendered(bad)


@pytest.mark.parametrize("reference", ["", "python 3", "python\nRUN evil", "-x", "$IMAGE"])
def test_a_reference_is_checked(reference: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an image reference"):
        registry_reference(step("from_registry", reference))
    assert registry_reference(step("from_registry", "registry:5000/a/b@sha256:0f")) == "registry:5000/a/b@sha256:0f"


# The log

FAILED_BUILD = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#4 [1/3] FROM docker.io/wherry/base:bookworm
#4 CACHED
#5 [2/3] RUN ["/bin/sh", "-c", "echo one"]
#5 0.211 one
#5 DONE 0.3s
#6 [3/3] RUN ["/bin/sh", "-c", "pip install nothing-of-the-kind"]
#6 1.052 Looking in indexes
#6 1.900 ERROR: No matching distribution found for nothing-of-the-kind
#6 ERROR: executor failed running [/bin/sh -c pip install nothing-of-the-kind]: exit code: 1
------
 > [3/3] RUN ["/bin/sh", "-c", "pip install nothing-of-the-kind"]:
------
failed to solve with frontend dockerfile.v0: executor failed running [/bin/sh -c x]: exit code: 1
"""


@pytest.fixture
def heard() -> Callable[[str], tuple[Progress, list[str]]]:
    def hear(text: str) -> tuple[Progress, list[str]]:
        lines: list[str] = []
        progress = Progress(["run echo one", "pip install nothing-of-the-kind"], lines.append)
        for line in text.splitlines():
            progress.line(line)
        return progress, lines

    return hear


def test_a_builds_log_reads_as_its_steps(heard: Callable[[str], tuple[Progress, list[str]]]) -> None:
    progress, lines = heard(FAILED_BUILD)
    assert lines == [
        "run echo one",
        "  one",
        "pip install nothing-of-the-kind",
        "  Looking in indexes",
        "  ERROR: No matching distribution found for nothing-of-the-kind",
    ]
    assert progress.reason() == "`pip install nothing-of-the-kind` failed: exit code: 1"
    assert progress.tail() == [
        "Looking in indexes",
        "ERROR: No matching distribution found for nothing-of-the-kind",
    ]


def test_a_reason_that_repeats_the_command_is_cut(heard: Callable[[str], tuple[Progress, list[str]]]) -> None:
    progress, _ = heard(
        '#5 [2/3] RUN ["/bin/sh", "-c", "x"]\n'
        "#5 ERROR: executor failed running [/bin/sh -c x]: network bridge not found"
    )
    assert progress.reason() == "`run echo one` failed: network bridge not found"


def test_a_build_without_a_word_has_a_reason_nevertheless(heard: Callable[[str], tuple[Progress, list[str]]]) -> None:
    progress, _ = heard("")
    assert progress.reason() == "the builder gave no reason"
    progress, _ = heard("ERROR: failed to solve: wherry/base:x: not found")
    assert "not found" in progress.reason()
