"""Classes whose methods run in containers, one object in each."""

from __future__ import annotations

from wherry._blocking import blocking_classmethod
from wherry._blueprint import ARGUMENTS, Blueprint
from wherry._definition import ClassDefinition, Definition
from wherry._typing import TYPE_CHECKING, Any
from wherry.context import is_local
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry.function import Function

if TYPE_CHECKING:
    from wherry._caller import Caller
    from wherry._client import Client
    from wherry._partial import PartialFunction
    from wherry._variant import Changes
    from wherry.app import App

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
NO_ARGUMENTS: Arguments = ((), {})
# Where a user's class keeps its handle, for objects in containers that call their own methods remotely.
HANDLE = "__wherry_class__"


class Cls:
    """A handle on a class that runs in containers; made by `@app.cls()`, `from_name` or `lookup`.

    Calling it gives an object whose methods have `remote`, `map` and the rest. One set of containers serves each
    set of arguments, all methods together. (reference: Cls)
    """

    def __init__(
        self,
        name: str,
        service: Function[..., Any],
        blueprint: Blueprint | None = None,
        changes: Changes | None = None,
    ) -> None:
        self._name = name
        # The function that stands for the class in its app.
        self._service = service
        self._blueprint_or_none = blueprint
        self._changes = changes
        self._definitions: dict[str, Definition] = {}
        self._bound: dict[tuple[str, bytes], Caller] = {}
        if blueprint is not None:
            self.__doc__ = blueprint.user_class.__doc__
            self.__name__ = blueprint.user_class.__name__
            self.__module__ = blueprint.user_class.__module__
            self.__wrapped__ = blueprint.user_class

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        """Return an object; nothing runs yet. Raises TypeError for arguments that the class does not take."""
        blueprint = self._blueprint_or_none
        arguments = blueprint.bind(args, kwargs) if blueprint is not None else (args, dict(sorted(kwargs.items())))
        return Obj(self, arguments)

    # Variants

    def with_options(self, **options: Any) -> Cls:
        """Return the class with other options, in containers of its own; the parameters are those of `@app.cls`.

        Raises InvalidError for what can't differ. (reference: Cls.with_options)
        """
        from wherry._variant import changes_of  # loads the messages

        return self._changed(changes_of(options))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Cls:
        """Return the class with so many inputs at once in a container. (reference: Cls.with_concurrency)"""
        from wherry._variant import concurrency  # as above

        return self._changed(concurrency(max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Cls:
        """Return the class with its batched method's other sizes. (reference: Cls.with_batching)"""
        from wherry._variant import batching  # as above

        return self._changed(batching(max_batch_size, wait_ms))

    def _changed(self, changes: Changes) -> Cls:
        return Cls(self._name, self._service, self._blueprint_or_none, changes.over(self._changes))

    # Finding

    @classmethod
    def from_name(cls, app_name: str, name: str, namespace: Any = None, environment_name: str | None = None) -> Cls:
        """Return a handle on a class of a running or deployed app; it is looked up when first used.

        (reference: Cls.from_name)
        """
        return cls(name, Function.from_name(app_name, name, namespace, environment_name))

    @blocking_classmethod
    def lookup(
        cls,
        app_name: str,
        name: str,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
    ) -> Cls:
        """Return a class of a running or deployed app; raise NotFoundError, with near names, if there is none.

        (reference: Cls.lookup)
        """
        found = Cls(name, Function.lookup(app_name, name, namespace, client, environment_name))
        if not found._service._resolved().methods:
            raise NotFoundError(f"{name!r} of app {app_name!r} is a function: use wherry.Function.lookup")
        return found

    @property
    def object_id(self) -> str:
        """The id of the function that stands for the class, "fu-…". Raises ExecutionError before there is one."""
        return self._service.object_id

    # Inside

    @property
    def _blueprint(self) -> Blueprint:
        if self._blueprint_or_none is None:
            raise ExecutionError(f"{self._name} was looked up, so its source is not here: use .remote()")
        return self._blueprint_or_none

    @property
    def _app(self) -> App | None:
        return self._service._app

    def _definition_of(self, partial: PartialFunction[..., Any]) -> Definition:
        name = partial.__name__
        definition = self._definitions.get(name)
        if definition is None:
            options = self._service.info.options
            definition = Definition(partial.raw_f, f"{self._name}.{name}", partial.is_generator, options)
            self._definitions[name] = definition
        return definition

    def _caller(self, arguments: Arguments, method: str) -> Caller:
        """Return who calls a method of an object made with these arguments; raise NotFoundError if it has none."""
        from wherry._variant import bind, pickled  # loads the messages

        base = self._service._resolved()
        if method not in base.methods:
            raise NotFoundError(f"class {self._name!r} has no method {method!r}{_near(method, base.methods)}")
        parameters = pickled(arguments, self._name) if arguments != NO_ARGUMENTS else b""
        if not parameters and self._changes is None:
            return base.of_method(method)
        key = (base.function_id, parameters)
        caller = self._bound.get(key)
        if caller is None:
            caller = self._bound[key] = bind(base, parameters or None, self._changes)
        return caller.of_method(method)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self._blueprint.user_class,)

    def __getattr__(self, name: str) -> Any:
        blueprint = self.__dict__.get("_blueprint_or_none")
        if blueprint is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name in blueprint.methods:
            raise InvalidError(
                f"{self._name}.{name} is a method: make an object first, for example {self._name}().{name}.remote(...)"
            )
        return getattr(blueprint.user_class, name)

    def __reduce__(self) -> Any:
        return _remade, (self._name, self._service, self._changes)

    def __repr__(self) -> str:
        return f"Cls({self._name!r})"


class Obj:
    """An object of a class that runs in containers: `obj.method.remote(...)`. (reference: Obj)"""

    def __init__(self, cls: Cls, arguments: Arguments) -> None:
        self._cls = cls
        self._arguments = arguments
        self._made: Any = None
        self._entered = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_cls" not in self.__dict__:
            raise AttributeError(name)
        blueprint = self._cls._blueprint_or_none
        if blueprint is None:
            return self._looked_up(name)
        partial = blueprint.methods.get(name)
        if partial is not None:
            return Method(self, partial)
        if not hasattr(blueprint.user_class, name) and self._made is None and name not in self._arguments[1]:
            near = _near(name, blueprint.methods)
            raise AttributeError(f"class {self._cls._name!r} has no method or attribute {name!r}{near}")
        return getattr(self._plain(), name)

    def _looked_up(self, name: str) -> Function[..., Any]:
        caller = self._cls._service._caller
        if caller is not None and name not in caller.methods:
            raise AttributeError(f"class {self._cls._name!r} has no method {name!r}{_near(name, caller.methods)}")
        return Function(f"{self._cls._name}.{name}", resolve=lambda: self._cls._caller(self._arguments, name))

    # Here

    def _plain(self) -> Any:
        """Return the user's object, here."""
        if self._made is None:
            args, kwargs = self._arguments
            self._made = self._cls._blueprint.construct(args, kwargs)
        return self._made

    def _enter(self) -> Any:
        """Return the user's object, here, its enter hooks run once."""
        made = self._plain()
        if not self._entered:
            self._entered = True
            for hook in self._cls._blueprint.enter_hooks(made):
                _await(hook())
        return made

    def __reduce__(self) -> Any:
        return Obj, (self._cls, self._arguments)

    def __repr__(self) -> str:
        return f"Obj({self._cls._name!r})"


class Method(Function[Any, Any]):
    """A method of an object."""

    def __init__(self, obj: Obj, partial: PartialFunction[..., Any]) -> None:
        cls, name = obj._cls, partial.__name__
        super().__init__(
            f"{cls._name}.{name}",
            app=cls._app,
            definition=cls._definition_of(partial),
            resolve=lambda: cls._caller(obj._arguments, name),
        )
        self._obj = obj
        self._method = name

    def local(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the method here, on an object made once, its enter hooks run first. (reference: Function.local)"""
        return self._obj._cls._blueprint.method(self._obj._enter(), self._method)(*args, **kwargs)

    def from_parametrized(self, obj: Any, args: Any, kwargs: dict[str, Any]) -> Function[..., Any]:
        """Return the same method of an object made with these arguments. (reference: Function.from_parametrized)"""
        found: Function[..., Any] = getattr(self._obj._cls(*args, **kwargs), self._method)
        return found

    def __reduce__(self) -> Any:
        return getattr, (self._obj, self._method)


def make(app: App, user_class: Any, name: str | None, options: Any) -> Cls:
    """Return the handle of a class, and its function registered with the app."""
    if isinstance(user_class, Cls):
        raise InvalidError(f"{user_class!r} is a class of an app already: decorate it once")
    if not isinstance(user_class, type):
        raise InvalidError(f"@app.cls() got {user_class!r}: it goes on a class; a function has @app.function()")
    blueprint = Blueprint(user_class)
    definition = ClassDefinition(blueprint, name, options)
    service: Function[..., Any] = Function(definition.name, app=app, definition=definition)
    app._register(service, definition.name)
    made = Cls(definition.name, service, blueprint)
    if "__dict__" in dir(user_class):
        setattr(user_class, HANDLE, made)
    return made


def method_of(instance: Any, partial: PartialFunction[..., Any]) -> Function[..., Any]:
    """Return the handle on a method of a plain object, for code that has `self`."""
    handle = getattr(type(instance), HANDLE, None)
    if handle is None:
        raise InvalidError(
            f"{partial.__qualname__} has @wherry.method(), and its class has no @app.cls(): "
            f"put it above `class {type(instance).__name__}`"
        )
    obj = Obj(handle, getattr(instance, ARGUMENTS, NO_ARGUMENTS))
    obj._made = instance
    # In a container its hooks have run.
    obj._entered = not is_local()
    return Method(obj, partial)


def _remade(name: str, service: Function[..., Any], changes: Changes | None) -> Cls:
    return Cls(name, service, None, changes)


def _await(value: Any) -> None:
    """Run a coroutine to its end, whether or not a loop runs in this thread."""
    if not hasattr(value, "__await__"):
        return
    import asyncio  # only for asynchronous hooks
    from concurrent.futures import ThreadPoolExecutor  # likewise

    async def awaited() -> None:
        await value

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, awaited()).result()


def _near(name: str, names: Any) -> str:
    import difflib  # only for a message

    near = difflib.get_close_matches(name, list(names), n=3) or sorted(names)[:5]
    return f"; did you mean {', '.join(repr(item) for item in near)}?" if near else ""
