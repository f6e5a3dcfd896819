"""What editors that use jedi see of a decorated function: its own parameters. No program loads it."""

# mypy: ignore-errors
from wherry._base.shown import Called, Giving
from wherry._calling.results import Results
from wherry.call import FunctionCall
from wherry.function import Function


class ShownFunction(Function):
    """A handle on this function."""

    def __init__(self, function):
        self.local = function
        self.remote = remote(function)
        self.remote_gen = remote_gen(function, Results())
        self.spawn = spawn(function, FunctionCall(""))


class ShownMethod:
    """A method, before it is asked of an object."""

    def __init__(self, method):
        self._method = method

    def __get__(self, instance, owner):
        method = self._method

        def bound(*args, **kwargs):
            return method(None, *args, **kwargs)

        return ShownFunction(bound)


# Editors show their names.
class remote(Called):
    """Run the function in a container, wait without limit and return its value; raise what it raised."""


class remote_gen(Giving):
    """Run the generator function in a container; iterate its values as they come."""


class spawn(Giving):
    """Start a call and return when the service has it on disk."""
