"""BuildKit's plain progress, of old engines and of new ones."""

import pytest

from wherry_service.images.progress import Progress, Titles

TITLES = ["run echo one", "pip install nothing-of-the-kind"]

# As Docker 20.10 prints it.
OLD = """\
#1 [internal] load build definition from Dockerfile
#1 sha256:8dade316dc641f86d2cffffe9848ff2d28a124c8c2e67690c75911d55e4a0596
#1 transferring dockerfile: 85B done
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
executor failed running [/bin/sh -c pip install nothing-of-the-kind]: exit code: 1
"""

# As buildx 0.13 prints it.
NEW = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 1.24kB done
#1 DONE 0.0s

#2 [internal] load metadata for docker.io/wherry/base:bookworm
#2 DONE 0.0s

#4 [stage-0 1/3] FROM docker.io/wherry/base:bookworm
#4 DONE 0.0s

#5 [stage-0 2/3] RUN ["/bin/sh", "-c", "echo one"]
#5 0.211 one
#5 DONE 0.3s

#6 [stage-0 3/3] RUN ["/bin/sh", "-c", "pip install nothing-of-the-kind"]
#6 1.052 Looking in indexes
#6 1.900 ERROR: No matching distribution found for nothing-of-the-kind
#6 ERROR: process "/bin/sh -c pip install nothing-of-the-kind" did not complete successfully: exit code: 1
------
 > [stage-0 3/3] RUN ["/bin/sh", "-c", "pip install nothing-of-the-kind"]:
1.052 Looking in indexes
1.900 ERROR: No matching distribution found for nothing-of-the-kind
------
Dockerfile:3
--------------------
   2 |     RUN ["/bin/sh", "-c", "echo one"]
   3 | >>> RUN ["/bin/sh", "-c", "pip install nothing-of-the-kind"]
--------------------
ERROR: failed to solve: process "/bin/sh -c pip install" did not complete successfully: exit code: 1
"""


def heard(text: str, titles: Titles = TITLES) -> tuple[Progress, list[str]]:
    lines: list[str] = []
    progress = Progress(titles, lines.append)
    for line in text.splitlines():
        progress.line(line)
    return progress, lines


@pytest.mark.parametrize("text", [OLD, NEW], ids=["old", "new"])
def test_a_builds_log_reads_as_its_steps(text: str) -> None:
    progress, lines = heard(text)
    tail = ["Looking in indexes", "ERROR: No matching distribution found for nothing-of-the-kind"]
    assert lines == ["run echo one", "  one", "pip install nothing-of-the-kind", *(f"  {line}" for line in tail)]
    assert progress.reason() == "`pip install nothing-of-the-kind` failed: exit code: 1"
    assert progress.tail() == tail


def test_a_step_that_failed_without_a_word_has_no_tail() -> None:
    progress, _ = heard(OLD.replace("#6 1.", "#5 1."))
    assert progress.reason() == "`pip install nothing-of-the-kind` failed: exit code: 1"
    assert progress.tail() == []


def test_steps_that_run_side_by_side_are_told_apart() -> None:
    progress, lines = heard(
        "#5 [2/3] RUN a\n#6 [3/3] RUN b\n#5 0.1 of a\n\n#6 [3/3] RUN b\n#6 0.1 of b\n"
        "#5 CANCELED\n#6 ERROR: no space left"
    )
    assert lines == [*TITLES, "  of a", "  of b"]
    assert progress.reason() == "`pip install nothing-of-the-kind` failed: no space left"
    assert progress.tail() == ["of b"]


def test_numbers_padded_for_many_steps_are_read() -> None:
    _, lines = heard(
        "#5 [ 2/11] RUN a\n#5 CACHED\n#14 [11/11] RUN b\n#14 12.5 1.5 of it",
        [f"run {number}" for number in range(10)],
    )
    assert lines == ["run 0", "run 9", "  1.5 of it"]


def test_what_a_step_prints_is_never_taken_for_the_builders_word() -> None:
    progress, lines = heard(
        "#5 [2/3] RUN a\n#5 0.1 #6 [3/3] RUN b\n#5 0.2 #5 ERROR: made up\n#5 0.3 failed to solve: made up\n#5 0.4"
    )
    assert lines == ["run echo one", "  #6 [3/3] RUN b", "  #5 ERROR: made up", "  failed to solve: made up"]
    assert progress.reason() == "the builder gave no reason"


def test_the_tail_is_the_end_of_the_log() -> None:
    printed = "\n".join(f"#5 0.{number:03} line {number}" for number in range(100))
    progress, lines = heard(f"#5 [2/3] RUN a\n{printed}\n#5 ERROR: exit code: 1")
    assert progress.tail() == [f"line {number}" for number in range(70, 100)]
    assert len(lines) == 101


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the builder gave no reason"),
        (
            "#5 [2/3] RUN x\n#5 ERROR: executor failed running [/bin/sh -c x]: network bridge not found",
            "`run echo one` failed: network bridge not found",
        ),
        (
            "#2 [internal] load metadata for docker.io/library/none:1\n#2 ERROR: pull access denied\n------\n"
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: pull access denied",
            "pull access denied",
        ),
        (
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: no such word",
            "failed to create LLB definition: no such word",
        ),
        ("ERROR: failed to solve: none:1: not found", "failed to solve: none:1: not found"),
        ("Cannot connect to the Docker daemon", "Cannot connect to the Docker daemon"),
        ("error: no builder found", "no builder found"),
    ],
)
def test_there_is_a_reason_whatever_went_wrong(text: str, reason: str) -> None:
    assert heard(text)[0].reason() == reason


def test_outside_of_a_step_the_tail_is_all_that_was_said() -> None:
    progress, lines = heard("Cannot connect to the Docker daemon\n\nIs it running?")
    assert progress.tail() == ["Cannot connect to the Docker daemon", "Is it running?"]
    assert lines == []


def test_steps_of_a_users_dockerfile_are_called_what_the_user_wrote() -> None:
    titles = {("first", 2): "RUN a", ("stage-1", 12): "RUN b"}
    progress, lines = heard(
        "#4 [first 1/2] FROM x\n#5 [first 2/2] RUN --mount=x a\n#6 [stage-1 12/12] RUN --mount=x b\n"
        "#7 [linux/arm64 first 2/2] RUN --mount=x a\n#6 ERROR: exit code: 3",
        titles,
    )
    assert lines == ["FROM x", "RUN a", "RUN b", "RUN a"]
    assert progress.reason() == "`RUN b` failed: exit code: 3"


@pytest.mark.parametrize("text", [OLD, NEW], ids=["old", "new"])
def test_it_is_told_the_how_manieth_step_begins(text: str) -> None:
    begun: list[int] = []
    progress = Progress(TITLES, lambda line: None, on_begun=begun.append)
    for line in text.splitlines():
        progress.line(line)
    assert begun == [1, 2]
