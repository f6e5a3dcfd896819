"""What editors that use jedi see of methods with an `.aio` form: their own parameters. No program loads it.

jedi knows no `ParamSpec`: it finds out what is given by what is returned. So here the method itself is called, and the
decorators return this where jedi reads them (`IN_EDITOR`). Without types: where there are some, jedi goes by those.
"""

# mypy: ignore-errors


# Editors show the names of classes.
class aio:
    """The same without blocking the event loop."""

    def __init__(self, call):
        self._call = call

    @property
    def __call__(self):
        return self._call


class Called:
    """What takes the parameters of a function, and gives what it gives, as `.aio` does."""

    def __init__(self, function):
        def call(self, *args, **kwargs):
            return function(*args, **kwargs)

        self._call = call

    @property
    def __call__(self):
        return self._call

    @property
    def aio(self):
        return aio(self._call)


class Giving(Called):
    """The same, but for what it gives."""

    def __init__(self, function, result):
        def call(self, *args, **kwargs):
            function(*args, **kwargs)
            return result

        self._call = call


class method(Called):
    """A method, of an object or a class: its first parameter is given."""

    def __init__(self, function):
        def call(self, *args, **kwargs):
            return function(None, *args, **kwargs)

        self._call = call
