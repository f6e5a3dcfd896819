"""Code in a container that wants out of it, or at what others have, on the real engine."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.acceptance.apps import boundary
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService

# What the kernel says where it does not even look.
REFUSALS = {"EROFS", "EPERM", "EACCES", "EXDEV", "EBUSY", "ENOSYS", "EOPNOTSUPP"}


@pytest.fixture(scope="module")
def hostile(run_app: RunApp) -> Iterator[ModuleType]:
    with run_app(boundary.app):
        yield boundary


@pytest.mark.parametrize("name", boundary.ATTACKS)
def test_the_attack_is_refused(hostile: ModuleType, name: str) -> None:
    assert hostile.attack.remote(name) in REFUSALS


def test_after_all_that_others_have_what_was_sent(hostile: ModuleType, service: OwnService) -> None:
    text = Path(boundary.__file__).read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    assert (service.state_dir / "blobs" / "contents" / digest[:2] / digest).read_bytes() == text
    assert hostile.reads.remote() == text.decode()


def test_a_service_does_not_start_without_its_runtime() -> None:
    # With a short path, for its sockets: 107 characters are the most.
    with tempfile.TemporaryDirectory(prefix="wherry-") as state_dir:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "wherry_service", "--state-dir", state_dir],
            env={**os.environ, "WHERRY_CONTAINERS_RUNTIME": "nowhere"}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert ran.returncode == 1
    said = ran.stderr.splitlines()[-1]
    assert said.startswith("wherry: WHERRY_CONTAINERS_RUNTIME is 'nowhere', and this engine has no such runtime, only")
    assert "Traceback" not in ran.stderr
