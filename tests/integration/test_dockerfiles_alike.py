"""Generated Dockerfiles, as the engine builds them by itself and as Wherry has them built: the same files and log.

`WHERRY_FUZZ=N` builds N of them.
"""

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.images.host import find_build_cli
from wherry_service.images.render import Lent
from wherry_service.images.steps import stages

# All of an image that has a shell.
BASE = 'FROM scratch\nCOPY busybox /bin/\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n'
BLANKS = (" ", "  ", "\t", " \\\n  ", " \\\n# between\n\n\t", " \\ \n ")
# What a shell does with them is in the log, whichever way they were written.
COMMANDS = (
    "echo one >> /log",
    "echo 'a  b' \"$GREETING\" >> /log",
    "printf '%s\\\\n' --mount=type=x >> /log",
    "true && \\\n    echo joined >> /log",
    'echo "it\'s $((1 + 2))" >> /log; pwd >> /log',
    "echo '# no comment' >> /log",
    "echo \\$HOME \\\\ >> /log",
    "ls / | grep -c file >> /log || true",
    "cat /m/x >> /log 2>/dev/null || echo none >> /log",
    "for x in a b; do echo $x >> /log; done",
    # Not a bare *: what is lent is below /run, which an empty image does not have.
    "echo {a,b} [ab] f* >> /log",
)
FLAGS = (
    "", "--network=none", "--mount=type=tmpfs,target=/m", "--mount=type=bind,target=/m,source=sub",
    '--mount="type=tmpfs,target=/m"', "--security=sandbox",
)  # fmt: skip


def drawn(number: int) -> str:
    """Return a Dockerfile."""
    draw = random.Random(number)
    lines: list[str] = []
    escape = draw.choice(("", "", "", "# escape=`\n"))
    for _ in range(draw.randint(2, 7)):
        blank = draw.choice(BLANKS)
        match draw.randrange(9):
            case 0:
                lines.append(f"ENV{blank}GREETING={draw.choice(('hello', chr(34) + 'a b' + chr(34), 'x$PATH'))}")
            case 1:
                lines.append(f"{draw.choice(('WORKDIR', 'workdir'))}{blank}{draw.choice(('/w', 'below', '/a/../b'))}")
            case 2:
                source = draw.choice(
                    ("file", "sub/", "f*", "/file", "./sub/x", '"file"', '["file", "sub/x"]', "$NONE file")
                )
                word = draw.choice(("COPY", "ADD", "AD\\\nD", "add --chown=1:1"))
                lines.append(f"{word}{blank}{source if source.startswith('[') else source + ' /copied/'}")
            case 3:
                lines.append(f"ARG{blank}GREETING=from-arg")
            case 4:
                lines.append(draw.choice(("# a comment", "", "  # RUN echo no >> /log", "LABEL a=b")))
            case 5:
                lines.append(f'RUN{blank}["/bin/sh", "-c", "echo json >> /log"]')
            case _:
                flags = [flag for flag in {draw.choice(FLAGS) for _ in range(2)} if flag][: draw.randint(0, 2)]
                if sum("target=/m" in flag for flag in flags) > 1:
                    flags = flags[:1]
                words = ["RUN" if draw.random() < 0.7 else "run", *sorted(flags), draw.choice(COMMANDS)]
                lines.append(blank.join(words))
    text = BASE + "\n".join(lines) + draw.choice(("\n", "", "\n\n# the end"))
    return escape + text.replace("\\", "`") if escape else text


@pytest.fixture(scope="module")
def build() -> list[str]:
    """A command that builds with BuildKit, to a directory."""
    return [word for word in asyncio.run(find_build_cli()).build if word != "--load"]


def built(build: list[str], text: str, context: Path, name: str) -> dict[str, str] | None:
    """Build a Dockerfile; return what is in its image, None where it can't be built."""
    file, out = context.parent / f"{name}.Dockerfile", context.parent / name
    file.write_text(text)
    certificate = context.parent / "ca"
    certificate.write_text("a certificate\n")
    made = subprocess.run(
        [
            *(*build, "-q", "--secret", f"id=wherry-ca,src={certificate}"),
            *("-f", str(file), "-o", f"type=local,dest={out}", str(context)),
        ],
        capture_output=True, text=True, check=False, env=os.environ | {"DOCKER_BUILDKIT": "1"},
    )  # fmt: skip
    if made.returncode:
        return None
    found = {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and not path.is_symlink() and "bin" not in path.relative_to(out).parts
    }
    if (log := out / "log").exists():
        found["log"] = log.read_text()
    shutil.rmtree(out)
    return found


@pytest.mark.parametrize("number", range(int(os.environ.get("WHERRY_FUZZ", "6"))))
def test_an_image_has_what_the_engine_alone_would_put_there(number: int, tmp_path: Path, build: list[str]) -> None:
    context = tmp_path / "context"
    (context / "sub").mkdir(parents=True)
    (context / "file").write_text("of the context\n")
    (context / "sub" / "x").write_text("below\n")
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, context / "busybox")
    text = drawn(number)
    definition = ImageDefinition(steps=[ImageStep(kind="dockerfile", args=[text])])
    (stage,) = stages(definition, Lent(ca=True, urls=False))
    alone = built(build, text, context, "alone")
    ours = built(build, stage.text, context, "ours")
    assert ours == alone, f"{text}\n\nwas built as\n\n{stage.text}"
