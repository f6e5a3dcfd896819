"""Which Python `debian_slim` gets where the program leaves it open, and which one an image has."""

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images.definition import image_id
from wherry_service.images.pythons import NEAR, nearest, python_of, settled


def image(*steps: ImageStep, kind: str = "debian_slim", **options: str) -> ImageDefinition:
    return ImageDefinition(steps=[ImageStep(kind=kind, options=options), *steps])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("3.10", "3.11"), ("3.11", "3.11"), ("3.12", "3.13"), ("3.13", "3.13"), ("3.14", "3.14"), ("3.20", "3.14")],
)
def test_a_program_gets_its_own_or_the_nearest(wanted: str, found: str) -> None:
    assert nearest(wanted, has_any=False) == found
    # From a registry, any.
    assert nearest(wanted, has_any=True) == wanted


@pytest.mark.parametrize("wanted", ["", "3", "4.1", "3.x", "3.12.1", "3.12; rm", "3.1234"])
def test_what_is_no_version_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidRequest, match=r"is no version of Python such as 3\.12"):
        settled(image(near_python=wanted), has_any=True)


def test_an_image_is_the_same_whoever_asks_for_it_with_one_python() -> None:
    default = image_id(image())
    assert image_id(settled(image(near_python="3.11"), False)) == default
    assert image_id(settled(image(near_python="3.10"), False)) == default
    newer = image_id(image(python_version="3.13"))
    assert image_id(settled(image(near_python="3.13"), False)) == newer
    assert image_id(settled(image(near_python="3.12"), False)) == newer
    assert image_id(settled(image(near_python="3.12"), True)) == image_id(image(python_version="3.12"))
    # One that is named is that one, and other bases have none to choose.
    named = settled(image(near_python="3.12", python_version="3.11"), True)
    assert named.steps[0].options == {"python_version": "3.11"}
    assert settled(image(kind="from_scratch", near_python="3.12"), True).steps[0].options == {}
    assert settled(ImageDefinition(), False).steps == []


def test_what_was_asked_is_left_as_it_is() -> None:
    asked = image(ImageStep(kind="run_commands", args=["true"]), near_python="3.13")
    found = settled(asked, False)
    assert asked.steps[0].options == {NEAR: "3.13"}
    assert found.steps[1] is asked.steps[1]


@pytest.mark.parametrize(
    ("definition", "python"),
    [
        (image(), "3.11"),
        (image(python_version="3.13"), "3.13"),
        (image(python_version="3.12.4"), "3.12"),
        (image(ImageStep(kind="add_python", args=["3.13.1"])), "3.13"),
        (image(ImageStep(kind="add_python", args=["3.13"]), ImageStep(kind="env"), kind="from_registry"), "3.13"),
        (image(kind="from_registry"), ""),
        (image(kind="dockerfile"), ""),
        (image(kind="micromamba", python_version="3.12"), ""),
    ],
)
def test_which_python_an_image_has(definition: ImageDefinition, python: str) -> None:
    assert python_of(definition) == python
