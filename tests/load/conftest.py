"""The big figures: one service of their own. Not in the default run: `./dev test load`, about five minutes."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here the time they need."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    """A running service with its own state; the SDK in this process and in its children talks to it."""
    state_dir = Path(tempfile.mkdtemp(prefix="wherry-"))
    patch = pytest.MonkeyPatch()
    patch.setenv("WHERRY_STATE_DIR", str(state_dir))
    patch.delenv("WHERRY_SERVER_URL", raising=False)
    service = OwnService(state_dir)
    service.start()
    yield service
    service.stop()
    patch.undo()
    shutil.rmtree(state_dir)
