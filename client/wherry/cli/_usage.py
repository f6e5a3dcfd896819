"""A command line that is wrong."""

from wherry.exception import Error


class UsageError(Error):
    """The command line is wrong, as far as can be told without the service: the command exits with 2."""
