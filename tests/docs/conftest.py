"""The service of the acceptance tests, for programs of the pages."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import environment, service
from tests.acceptance.service import give_time

__all__ = ["environment", "service"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Images are built, some with large packages.
    give_time(items, Path(__file__).parent, 300)
