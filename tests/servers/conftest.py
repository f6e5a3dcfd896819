"""The acceptance tests' service, beside servers that are not Wherry's. Not in the default run: `./dev test servers`."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import base, environment, run_app, service
from tests.acceptance.service import give_time

__all__ = ["base", "environment", "run_app", "service"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    give_time(items, Path(__file__).parent, 120)
