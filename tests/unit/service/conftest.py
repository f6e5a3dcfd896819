"""What tests of the service share."""

from collections.abc import Iterator

import pytest

from tests.fakes.gated_database import GatedDatabase


@pytest.fixture(scope="module")
def gated_database() -> Iterator[GatedDatabase]:
    """A database whose commits wait for the test; its tables are made once for a module."""
    made = GatedDatabase()
    yield made
    made.close()
