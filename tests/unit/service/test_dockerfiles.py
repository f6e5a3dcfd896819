"""What Wherry reads in a Dockerfile, compared with what Docker's documentation says of it."""

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.images.dockerfiles import directives, split
from wherry_service.images.render import Lent
from wherry_service.images.steps import Stage, stages

LENT = Lent(ca=True)
CA = "--mount=type=secret,id=wherry-ca,target=/run/wherry-build/ca.crt,mode=0444 "


def stage_of(text: str, lent: Lent = LENT) -> Stage:
    (stage,) = stages(ImageDefinition(steps=[ImageStep(kind="dockerfile", args=[text])]), lent)
    return stage


def run_of(text: str) -> str:
    """The RUN of a Dockerfile as it is built."""
    return stage_of(f"FROM x\n{text}\n").instructions[1].text


@pytest.mark.parametrize(
    ("text", "flags", "rest"),
    [
        ("RUN --mount=type=cache,target=/a ls", "--mount=type=cache,target=/a ", "ls"),
        ("RUN --mount=a=b \\\n  --mount=c=d \\\n  ls -l", "--mount=a=b   --mount=c=d   ", "ls -l"),
        ("RUN \\\n --network=none \\\n ls", "--network=none  ", "ls"),
        ('RUN --mount="type=cache,target=/a b" ls', '--mount="type=cache,target=/a b" ', "ls"),
        ("RUN\tls", "", "ls"),
        ("run\\\n ls", "", "ls"),
        ("RUN ls --all", "", "ls --all"),
        ("COPY --chown=1:1\\\n a /b", "--chown=1:1 ", "a /b"),
    ],
)
def test_flags_end_where_the_command_begins(text: str, flags: str, rest: str) -> None:
    (line,) = split(text)
    assert (line.flags, line.rest) == (flags, rest)


def test_what_is_lent_stands_after_the_flags_of_all_lines() -> None:
    text = run_of("RUN --mount=type=tmpfs,target=/t1 \\\n    --mount=type=tmpfs,target=/t2 \\\n    echo x > /t2/x")
    assert text.startswith(f"RUN {CA}--mount=type=tmpfs,target=/t1     --mount=type=tmpfs,target=/t2     export ")
    assert text.endswith("; echo x > /t2/x")


def test_a_tab_is_as_good_as_a_blank() -> None:
    assert run_of("RUN\tls").startswith(f"RUN {CA}export ")


@pytest.mark.parametrize(
    ("text", "is_shell"),
    [
        ('RUN ["ls", "-l"]', False),
        ('RUN ["ls", \\\n "-l"]', False),
        ("RUN [ -f /etc/passwd ] && ls", True),
        ("RUN ['ls']", True),
        ("RUN <<EOF\nls\nEOF", True),
    ],
)
def test_json_is_told_from_what_a_shell_reads(text: str, is_shell: bool) -> None:
    (line,) = split(text)
    assert line.is_shell is is_shell


def test_a_script_gets_what_is_lent_in_its_first_line() -> None:
    text = run_of("RUN <<EOF\nls\nEOF")
    first, second, *rest = text.splitlines()
    assert first == f"RUN {CA}<<EOF"
    assert second.startswith("export PIP_CERT=")
    assert rest == ["ls", "EOF"]


def test_a_command_with_a_here_document_gets_what_is_lent_before_it() -> None:
    text = run_of("RUN cat <<'EOF' > /x\na # b\n\nEOF")
    assert text.startswith(f"RUN {CA}export ")
    assert text.endswith("; cat <<'EOF' > /x\na # b\n\nEOF")


def test_a_script_of_another_interpreter_stays_as_it_is() -> None:
    text = "RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF"
    (line,) = split(text)
    assert not line.is_script
    assert line.text == text


def test_comments_and_empty_lines_inside_an_instruction_are_passed_over() -> None:
    (line,) = split("RUN a && \\\n  # why\n\n  b\n")
    assert line.rest == "a &&   b"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("AD\\\nD a /b", ["ADD a /b"]),
        ("RUN echo a\\\\\nADD b /c", ["RUN echo a\\ADD b /c"]),
        ("RUN a \\", ["RUN a"]),
        ("RUN cat <<X \\\n> /y\nin it\nX\nRUN b", ["RUN cat <<X > /y\nin it\nX", "RUN b"]),
        ("\\\n\nRUN a", ["RUN a"]),
        ("RUN a\x0bADD b /c\rADD c /d", ["RUN a", "ADD b /c", "ADD c /d"]),
    ],
)
def test_what_is_continued_is_one_line_for_every_builder(text: str, lines: list[str]) -> None:
    assert [line.text for line in split(text)] == lines


def test_another_escape_continues_lines() -> None:
    text = "# escape=`\n# syntax=docker/dockerfile:1\nFROM x\nRUN echo one `\n  two\\\nCOPY a b\n"
    assert directives(text) == ["# escape=`", "# syntax=docker/dockerfile:1"]
    assert [line.word for line in split(text)] == ["FROM", "RUN", "COPY"]
    assert stage_of(text).text.startswith("# escape=`\n# syntax=docker/dockerfile:1\nFROM x\n")


@pytest.mark.parametrize("text", ["# a comment\n# escape=`\nFROM x", "FROM x\n# escape=`", "\n# escape=`\nFROM x"])
def test_a_directive_counts_at_the_top_only(text: str) -> None:
    assert directives(text) == []


def test_steps_are_called_what_the_user_wrote() -> None:
    stage = stage_of("FROM x AS first\nRUN a\nENV b=c\nCOPY d e\nFROM y\nWORKDIR /f\nRUN g")
    assert stage.titles_by_place == {
        ("first", 2): "RUN a", ("first", 3): "COPY d e", ("stage-1", 2): "WORKDIR /f", ("stage-1", 3): "RUN g",
    }  # fmt: skip
    assert stage_of("FROM x\nRUN a").titles_by_place == {("stage-0", 2): "RUN a", ("", 2): "RUN a"}
