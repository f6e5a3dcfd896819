"""What a Dockerfile has no engine fetch, by its text and by the lines in which BuildKit says what it fetches."""

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images.fetching import Fetching, check_triggers
from wherry_service.images.render import Lent
from wherry_service.images.settings import ImageSettings
from wherry_service.images.steps import stages

URL = "http://127.0.0.1:1/x"
# Git, for some builders.
LIKE_LOCAL = "github" + ".com/a/b"


def built(text: str, kind: str = "dockerfile", *, urls: bool = False) -> str:
    """What is built of a Dockerfile's text."""
    base = [] if kind == "dockerfile" else [ImageStep(kind="from_scratch")]
    definition = ImageDefinition(steps=[*base, ImageStep(kind=kind, args=[text])])
    return stages(definition, Lent(urls=urls))[-1].text


@pytest.mark.parametrize(
    "line",
    [
        f"ADD {URL} /x",
        "add HTTPS://host/x /x",
        f'ADD ["{URL}", "/x"]',
        f"ADD --chown=1:1 --chmod=644 a {URL} /x/",
        f'ADD "{URL}" /x',
        'ADD h"ttp"://127.0.0.1/x /x',
        f"AD\\\nD \\\n# between\n\n {URL} /x",
        f"ADD -- {URL} /x",
        "ADD git@host:me/it.git /x",
        "ADD ssh://git@host/it.git /x",
        f"ONBUILD ADD {URL} /x",
        f"onbuild add {URL} /x",
        f'ADD --chown=0"\\"" {URL} /y" /x',
        f"RUN true '<<EOF'\nADD {URL} /x\nRUN cat /x",
        f"RUN true '<<EOF'\nAD\\\n# c\n\nD {URL} /x\nEOF",
        f"RUN <<EOF\n onbuild ADD {URL} /x\nEOF",
        "RUN <<EOF\nADD $U /x\nEOF",
        "RUN <<EOF\nAD\\",
    ],
)
@pytest.mark.parametrize("kind", ["dockerfile", "dockerfile_commands"])
def test_what_names_a_url_is_refused(kind: str, line: str) -> None:
    with pytest.raises(InvalidRequest, match=r"images\.add_urls|backslash|here-document"):
        built(f"FROM scratch\n{line}\n" if kind == "dockerfile" else line, kind)


def test_a_line_that_ends_with_a_backslash_is_refused_where_that_is_no_end() -> None:
    with pytest.raises(InvalidRequest, match="ends with a backslash"):
        built(f"# escape=`\nFROM scratch\nRUN a \\\nADD {URL} /x")


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("ADD a b/ /c", "ADD ./a ./b/ /c"),
        ("ADD --chown=1:1 /a ./b ../c /d", "ADD --chown=1:1 /a ./b ../c /d"),
        ("ADD $U${V} /x", "ADD ./$U${V} /x"),
        ('ADD "$U" /x', 'ADD ./"$U" /x'),
        ('ADD ["$U", "b c", "/x"]', 'ADD ["./$U", "./b c", "/x"]'),
        ("ADD <<EOF /x\ntext\nEOF", "ADD <<EOF /x\ntext\nEOF"),
        (f"ADD {LIKE_LOCAL} /x", f"ADD ./{LIKE_LOCAL} /x"),
        ("ONBUILD ADD $U /x", "ONBUILD ADD ./$U /x"),
        ("ADD [a, b] /x", "ADD ./[a, ./b] /x"),
        ("COPY $U /x", "COPY $U /x"),
        ("RUN echo ADD $U", "RUN echo ADD $U"),
        ("RUN <<EOF\nadd 1 2\nEOF", "RUN <<EOF\nadd 1 2\nEOF"),
    ],
)
def test_what_may_become_a_url_stays_a_path(line: str, becomes: str) -> None:
    assert built(f"FROM scratch\n{line}") == f"FROM scratch\n{becomes}"


def test_where_it_is_allowed_it_stays_as_it_is() -> None:
    assert built(f"FROM scratch\nADD {URL} $U /x", urls=True) == f"FROM scratch\nADD {URL} $U /x"
    assert ImageSettings.from_environment({"WHERRY_IMAGES_ADD_URLS": "allow"}).add_urls
    assert not ImageSettings.from_environment({"WHERRY_IMAGES_ADD_URLS": "refuse"}).add_urls
    assert not ImageSettings.from_environment({}).add_urls


@pytest.mark.parametrize("trigger", [f"ADD {URL} /x", "add $U /x", 'ADD ["$U", "/x"]', "ADD git@h:x /x"])
def test_an_image_whose_next_build_may_fetch_is_refused(trigger: str) -> None:
    with pytest.raises(InvalidRequest, match=r"some/image:1 has `ONBUILD .*images\.add_urls"):
        check_triggers("some/image:1", ["RUN true", trigger])
    check_triggers("some/image:1", ["ADD . /x", "ADD ./$U /y", "COPY $U /x", "RUN curl https://x"])


@pytest.mark.parametrize(
    "line",
    [
        f"#6 {URL}",
        "#6 https://host/it.git#main",
        f"#3 [1/2] ADD {URL} /x",
        f"#5 [a 2/2] ADD --chown=1:1 ./{URL} /y",
        "#6 git@host:me/it.git",
    ],
)
def test_what_is_fetched_is_heard(line: str) -> None:
    fetching = Fetching()
    assert fetching.line("#1 [internal] load build definition from Dockerfile")
    assert not fetching.line(line)
    assert fetching.url
    assert not fetching.line("#9 DONE 0.1s")


@pytest.mark.parametrize(
    "line",
    [
        "#5 0.418 http://127.0.0.1/",
        f"#5 [2/3] RUN curl {URL}",
        "#4 [1/1] FROM docker.io/library/python:3.12@sha256:0123",
        "#7 docker-image://docker.io/docker/dockerfile:1.4@sha256:01",
        "#7 python@sha256:01",
        "#3 sha256:d612e938",
        "#4 [2/2] ADD ./a /b",
    ],
)
def test_anything_else_goes_on(line: str) -> None:
    assert Fetching().line(line)
