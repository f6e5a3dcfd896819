"""Caches of builds have names of an environment's own."""

from pathlib import Path

import pytest

from wherry_proto.messages import ImageDefinition, ImageStep, SourceFile
from wherry_service.images.caches import KEY_FILE, CacheNames, unnamed
from wherry_service.images.packages import PACKAGES
from wherry_service.images.render import Lent
from wherry_service.images.steps import stages


def built(lent: Lent, *steps: ImageStep) -> str:
    return "\n".join(one.text for one in stages(ImageDefinition(steps=[*steps]), lent)[-1].instructions)


@pytest.mark.parametrize("kind", sorted(PACKAGES))
def test_no_step_has_a_cache_of_another_environment(kind: str, tmp_path: Path) -> None:
    names = CacheNames(tmp_path)
    step = ImageStep(kind=kind, args=["git.test/a/b" if kind == "pip_install_private" else "six"])
    if kind in ("conda_update", "uv_sync", "poetry_install"):
        step.args, step.files = [], [SourceFile(path="f", blob_id="b")]
    base = ImageStep(kind="micromamba")
    ours, others = (built(Lent(caches=names.of(name)), base, step) for name in ("main", "other"))
    assert ours != others
    assert ours.count("type=cache") == ours.count(f"type=cache,id={names.of('main')}-") > 1
    assert names.of("other") not in ours


def test_names_stay_and_can_not_be_guessed(tmp_path: Path) -> None:
    name = CacheNames(tmp_path / "a").of("main")
    assert CacheNames(tmp_path / "a").of("main") == name
    assert CacheNames(tmp_path / "b").of("main") != name
    assert [path.name for path in (tmp_path / "a").iterdir()] == [KEY_FILE]
    assert (tmp_path / "a" / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("flags", "become"),
    [
        ("--mount=type=cache,target=/a", "--mount=type=cache,id=OWN-user-/a,target=/a"),
        ("--mount=type=cache,id=x,target=/a", "--mount=type=cache,id=OWN-user-x,target=/a"),
        ("--mount=id=x,type=cache,dst=/a", "--mount=id=OWN-user-x,type=cache,dst=/a"),
        ("--mount=type=cache,uid=7,destination=/a", "--mount=type=cache,id=OWN-user-/a,uid=7,destination=/a"),
        ('--mount="type=cache,target=/a b,id=x"', '--mount="type=cache,target=/a b,id=OWN-user-x"'),
        ("--mount='type=cache,target=/a'", "--mount='type=cache,id=OWN-user-/a,target=/a'"),
        ("--mount=type=tmpfs,target=/a", "--mount=type=tmpfs,target=/a"),
        (
            "--network=none --mount=type=cache,target=/a --mount=type=cache,target=/b",
            "--network=none --mount=type=cache,id=OWN-user-/a,target=/a --mount=type=cache,id=OWN-user-/b,target=/b",
        ),
    ],
)
@pytest.mark.parametrize("command", ["ls", '["ls"]', "<<EOF\nls --mount=type=cache\nEOF"])
def test_caches_of_a_dockerfile_are_an_environments_own(flags: str, become: str, command: str) -> None:
    step = ImageStep(kind="dockerfile_commands", args=[f"RUN {flags} {command}"])
    assert built(Lent(caches="OWN"), ImageStep(kind="from_scratch"), step) == f"RUN {become} {command}"


def test_nobody_reads_a_name_in_a_log(tmp_path: Path) -> None:
    line = "#5 [2/2] RUN --mount=type=cache,id={}pip,target=/a ls"
    assert unnamed(line.format(CacheNames(tmp_path).of("main") + "-")) == line.format("")
