"""What a Dockerfile may not take, by the lines in which BuildKit says what it takes."""

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images.borrowing import Borrowing, check_reference
from wherry_service.images.render import Lent
from wherry_service.images.steps import stages


@pytest.mark.parametrize(
    "line",
    [
        "#3 [internal] load metadata for docker.io/wherry/image:abc",
        "#8 FROM docker.io/wherry/image:abc",
        "#8 FROM docker.io/wherry/ready:abc-12@sha256:0123",
        "#12 [stage-1 1/5] FROM docker.io/wherry/plain:abc",
        "#12 [a 1/1] FROM wherry/image@sha256:0123",
    ],
)
def test_an_image_of_the_services_is_found(line: str) -> None:
    borrowing = Borrowing("wherry/image:mine")
    assert borrowing.line("#1 [internal] load build definition from Dockerfile")
    assert not borrowing.line(line)
    assert borrowing.taken.startswith("wherry/")
    assert not borrowing.line("#9 DONE 0.1s")


@pytest.mark.parametrize(
    "line",
    [
        "#3 [internal] load metadata for docker.io/wherry/image:mine",
        "#4 [stage-0 1/2] FROM docker.io/wherry/image:mine@sha256:0123",
        "#3 [internal] load metadata for docker.io/wherry/base:bookworm",
        "#4 [stage-0 2/4] COPY --from=wherry/python:3.13 /opt/python /opt/python",
        "#4 FROM docker.io/library/python:3.12",
        "#5 0.418 #3 FROM docker.io/wherry/image:abc",
        "#5 [2/3] RUN echo FROM docker.io/wherry/image:abc",
        "",
    ],
)
def test_anything_else_is_nobodys_matter(line: str) -> None:
    assert Borrowing("wherry/image:mine").line(line)


@pytest.mark.parametrize(
    "reference", ["wherry/image:a", "docker.io/wherry/ready:a-b", "index.docker.io/wherry/plain:a"]
)
def test_no_chain_begins_with_it_by_its_name(reference: str) -> None:
    with pytest.raises(InvalidRequest, match=r"begin with Image\.from_id"):
        check_reference("from_registry", reference)
    check_reference("from_registry", "me/wherry/image:a")
    check_reference("from_registry", "wherry/images:a")


def read_by(first_line: str, **arguments: str) -> None:
    step = ImageStep(kind="dockerfile", args=[f"{first_line}\nFROM python:3.12"], options=arguments)
    stages(ImageDefinition(steps=[step]), Lent())


def test_only_dockers_own_program_reads_a_dockerfile() -> None:
    for good in (
        "# syntax=docker/dockerfile:1",
        "# Syntax = docker.io/docker/dockerfile:1.7@sha256:01",
        "# escape=`",
        "",
    ):
        read_by(good)
    for bad in ("evil/frontend", "docker/dockerfile.evil/x", "evil/docker/dockerfile", "docker/dockerfile-evil"):
        with pytest.raises(InvalidRequest, match="only docker/dockerfile is allowed"):
            read_by(f"# syntax={bad}")
        with pytest.raises(InvalidRequest, match="only docker/dockerfile is allowed"):
            read_by("", BUILDKIT_SYNTAX=bad)
