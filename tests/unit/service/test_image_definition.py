"""What an image's identity depends on, and which definitions are none."""

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images.definition import MAX_STEPS, image_id


def step(kind: str, *args: str, **options: str) -> ImageStep:
    return ImageStep(kind=kind, args=list(args), options=options)


SLIM = step("debian_slim", python_version="3.11")


def identity(*steps: ImageStep) -> str:
    return image_id(ImageDefinition(steps=[SLIM, *steps]))


def test_the_same_definition_has_the_same_id_everywhere() -> None:
    assert identity(step("pip_install", "six"), step("env", A="1", B="2")) == "im-w3tl54nq7iuy46eq4bpflpu7al"


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


def test_a_forced_build_is_of_the_same_image() -> None:
    forced = ImageStep(kind=SLIM.kind, options=SLIM.options, force_build=True)
    assert image_id(ImageDefinition(steps=[forced])) == identity()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([step("run_commands", "a", "b")], [step("run_commands", "b", "a")]),
        ([step("run_commands", "a", "b")], [step("run_commands", "a"), step("run_commands", "b")]),
        ([step("run_commands", "ab")], [step("run_commands", "a", "b")]),
        ([step("run_commands", "a\nb")], [step("run_commands", "a", "b")]),
        ([step("env", A="1")], [step("env", A="2")]),
        ([step("env", A="1"), step("workdir", "/")], [step("workdir", "/"), step("env", A="1")]),
        ([step("pip_install", "six")], [step("apt_install", "six")]),
        ([step("pip_install", "six")], [step("pip_install", "six", pre="true")]),
        ([step("pip_install", "six")], [step("pip_install", "Six")]),
    ],
)
def test_what_differs_differs(one: list[ImageStep], other: list[ImageStep]) -> None:
    assert identity(*one) != identity(*other)


def test_a_value_that_names_a_variable_is_of_another_image_than_before_it_was_expanded() -> None:
    # Of these the one made before has the text itself.
    assert identity(step("env", A="/x:$PATH")) != "im-tidk565y3mxaynafkmhjtdavtl"
    assert identity(step("env", A="/x:\\$PATH")) != identity(step("env", A="/x:$PATH"))


@pytest.mark.parametrize("base", [step("debian_slim"), step("from_registry", "a"), step("from_registry", "b")])
def test_each_base_is_another_image(base: ImageStep) -> None:
    assert image_id(ImageDefinition(steps=[base])) != identity()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([], "begins with debian_slim, from_registry or another"),
        ([step("pip_install", "six")], "begins with debian_slim, from_registry or another"),
        ([SLIM, step("magic")], "does not know the image step 'magic'"),
        ([SLIM, SLIM], "does not know the image step 'debian_slim'"),
        ([SLIM, *[step("workdir", "/")] * MAX_STEPS], "at most 200 steps, got 201"),
        ([SLIM, step("env", A="a\0b")], "step env: a text contains a NUL"),
        ([SLIM, step("env", **{"A\0": "a"})], "step env: a text contains a NUL"),
        ([step("from_registry", "a\0")], "step from_registry: a text contains a NUL"),
    ],
)
def test_what_is_no_image_is_refused(steps: list[ImageStep], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        image_id(ImageDefinition(steps=steps))
