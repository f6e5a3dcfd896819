"""The page about testing, where its tests run in containers: with a service of their own."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/testing.md"


def test_its_test_in_containers_passes(environment: dict[str, str], tmp_path: Path) -> None:
    for name, text in re.findall(r"^`([\w.]+)`:\n\n```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_containers.py"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
