"""The programs of docs/sandboxes.md run as they stand there."""

import re
from pathlib import Path

import pytest

import wherry
from tests.acceptance.service import OwnService

PAGE = Path(__file__).parents[2] / "docs/sandboxes.md"
# By where each begins: a page that moves is no other page.
FOUND = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
PROGRAMS = {text.strip().splitlines()[0][:60]: text for text in FOUND}


def test_there_are_some() -> None:
    assert len(PROGRAMS) >= 10


@pytest.mark.parametrize("begins", PROGRAMS)
def test_a_program_of_the_page_runs(
    service: OwnService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_module.py").write_text("")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    made: list[wherry.Sandbox] = []
    create = wherry.Sandbox.create

    def remembered(*command: str, **options: object) -> wherry.Sandbox:
        made.append(create(*command, **options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(wherry.Sandbox, "create", remembered)
    sandbox = wherry.Sandbox.create(timeout=120)
    try:
        sandbox.mkdir("/project")
        names = {"wherry": wherry, "sandbox": sandbox, "app": wherry.App("of-the-page"), "__name__": "page"}
        exec(compile(PROGRAMS[begins], str(PAGE), "exec"), names)
    finally:
        for one in made:
            one.terminate()
