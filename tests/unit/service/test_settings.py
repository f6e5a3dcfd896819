"""What the service reads from its environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from wherry_service.__main__ import read_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500000", 500_000),
        ("10B", 10),
        ("200MB", 200_000_000),
        ("2GiB", 2 << 30),
        (" 3 k ", 3000),
        ("1Ti", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert read_size("X", text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "1.5GB", "3 XB", "MB"])
def test_what_is_no_size_is_told_with_its_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^X is .*, which is no size"):
        read_size("X", text)


def test_a_service_with_a_wrong_setting_says_so_and_does_not_start(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "wherry_service", "--state-dir", str(tmp_path)],
        env={"WHERRY_LOGS_MAX_BYTES": "lots"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "wherry: WHERRY_LOGS_MAX_BYTES is 'lots', which is no size: write bytes, or for example 200MB or 2GiB\n"
    )
    assert not list(tmp_path.iterdir())
