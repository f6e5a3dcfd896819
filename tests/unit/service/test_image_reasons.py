"""What an image is said to be built for."""

import pytest

from wherry_proto.messages import ImageDefinition, ImageState, ImageStep, SourceFile
from wherry_service.images.definition import image_id
from wherry_service.images.reasons import reason
from wherry_service.store.images import ImageRecord

SLIM = ImageStep(kind="debian_slim")


def step(kind: str, *args: str, **options: str) -> ImageStep:
    return ImageStep(kind=kind, args=list(args), options=options)


def copied(**files: str) -> ImageStep:
    return ImageStep(kind="copy", args=["/to"], files=[SourceFile(path=p, blob_id=blob) for p, blob in files.items()])


def record(*steps: ImageStep, state: int = ImageState.BUILT) -> ImageRecord:
    definition = ImageDefinition(steps=[SLIM, *steps])
    return ImageRecord(image_id(definition), definition, state)


def why(*steps: ImageStep, others: list[ImageRecord]) -> str:
    return reason(ImageDefinition(steps=[SLIM, *steps]), None, others)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([step("pip_install", "six", "idna")], [step("pip_install", "attrs", "six")],
         "step 2, pip_install, has attrs and has no longer idna"),
        ([step("pip_install", "six")], [step("pip_install", "six", pre="true")],
         "step 2, pip_install, has another pre"),
        ([step("env", A="1", B="2")], [step("env", A="1", B="3")], "step 2, env, has another B"),
        ([copied(a="1", b="1", c="1")], [copied(a="1", b="2", d="1")], "step 2, copy, has other files: b, c, d"),
        ([step("run_commands", "a", "b")], [step("run_commands", "b", "a")],
         "step 2, run_commands, has its parts in another order"),
        ([step("workdir", "/a"), step("run_commands", "b")], [step("workdir", "/a"), step("run_commands", "c")],
         "step 3, run_commands, has c and has no longer b"),
        ([step("workdir", "/a")], [step("workdir", "/a"), step("run_commands", "c")], "step 3, run_commands c, is new"),
        ([step("workdir", "/a"), step("env", A="1")], [step("workdir", "/a")], "it ends before env A"),
        ([step("env", A="1")], [step("workdir", "/a"), step("env", A="1")], "step 2, workdir /a, is new"),
        ([step("workdir", "/a"), step("env", A="1")], [step("workdir", "/a"), step("cmd", "c")],
         "step 3 is cmd c, and was env A"),
        ([step("run_function", "make", fingerprint="1")], [step("run_function", "make", fingerprint="2")],
         "step 2, run_function, make has another source, other globals or other arguments"),
    ],
)  # fmt: skip
def test_the_difference_to_the_nearest_is_told(before: list[ImageStep], now: list[ImageStep], told: str) -> None:
    assert why(*now, others=[record(step("pip_install", "numpy")), record(*before)]) == told


@pytest.mark.parametrize(
    "other", [[], [step("pip_install", "numpy"), step("env", A="1")], [step("apt_install", "git")]]
)
def test_what_nothing_like_was_built_before_has_no_reason(other: list[ImageStep]) -> None:
    others = [record(*other)] if other else []
    assert why(step("pip_install", "six"), others=others) == ""


def test_of_equals_the_one_used_last_counts() -> None:
    others = [record(step("pip_install", "six", "b")), record(step("pip_install", "six", "c"))]
    assert why(step("pip_install", "six", "a"), others=others) == "step 2, pip_install, has a and has no longer b"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (ImageState.PRUNED, "it was pruned"),
        (ImageState.BUILT, "the engine has it no more"),
        (ImageState.FAILED, "its last build did not end well"),
        (ImageState.STOPPED, "its last build was stopped"),
    ],
)
def test_one_that_was_known_is_told_what_became_of_it(state: int, told: str) -> None:
    own = record(step("env", A="1"), state=state)
    assert reason(own.definition, own, [record(step("env", A="2"))]) == told


def test_what_is_forced_is_told_first() -> None:
    own = record(ImageStep(kind="run_commands", args=["a"], force_build=True))
    assert reason(own.definition, own, []) == "step 2, run_commands a, is forced"
