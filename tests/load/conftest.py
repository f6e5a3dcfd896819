"""The big figures: one service of their own. Not in the default run: `./dev test load`, about five minutes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService, give_time, own_service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    give_time(items, Path(__file__).parent, 300)


@pytest.fixture(scope="module")
def service() -> Iterator[OwnService]:
    """A running service of a module's own: its memory is measured."""
    with own_service() as service:
        yield service
