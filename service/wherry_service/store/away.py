"""Why a database can't be used just now."""

from wherry_service.errors import Unready


class DatabaseAway(Unready):
    """The database does not answer."""


class DatabaseTaken(DatabaseAway):
    """Another service works on the database."""
