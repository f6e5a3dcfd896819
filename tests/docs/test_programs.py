"""Programs of the pages, run as a reader would: saved under their names, with the commands that stand below them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.servers import BucketServer
from tests.acceptance.service import OwnService
from tests.docs.pages import Section, is_shown, sections

PAGES = [
    "README.md",
    "docs/getting-started.md",
    "docs/classes.md",
    "docs/deploy.md",
    "docs/http-api.md",
    "docs/editors.md",
    "docs/cookbook.md",
    "extras/skill/SKILL.md",
]
SECTIONS = [section for page in PAGES for section in sections(page) if section.steps]


@pytest.fixture
def shell(service: OwnService, environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of a reader's shell, with a bucket for those who want one."""
    objects = tmp_path / "buckets/datasets/in"
    objects.mkdir(parents=True)
    (objects / "a.txt").write_text("one two three\n")
    (objects / "b.txt").write_text("one two three four\n")
    port = (service.state_dir / "http_port").read_text().strip()
    with BucketServer(tmp_path / "buckets").serving("datasets") as server:
        yield dict(
            environment,
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            ENDPOINT=server.endpoint,
            COLUMNS="200",
            API=f"http://127.0.0.1:{port}/.wherry/api/v1",
        )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_it_does_what_the_page_shows(section: Section, shell: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "aws.env").write_text("AWS_ACCESS_KEY_ID=test\nAWS_SECRET_ACCESS_KEY=test\n")
    for name, text in section.files.items():
        (folder / name).write_text(text)
    for typed, shown in section.steps:
        done = subprocess.run(
            ["bash", "-c", typed], cwd=folder, env=shell, capture_output=True, text=True, timeout=280, check=False
        )
        said = f"$ {typed}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        assert is_shown(shown, done.stdout), f"{said}\nthe page shows:\n{shown}"
