"""Classes whose methods run in containers, one object in each."""

from __future__ import annotations

from wherry._base.blocking import blocking_classmethod
from wherry._base.code import kind_of
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.misuse import near
from wherry._classes.blueprint import ARGUMENTS, HANDLE, Blueprint, Handle
from wherry._classes.local_object import LocalObject
from wherry._define.definition import ClassDefinition, Definition
from wherry._define.options import FunctionOptions
from wherry._derived import Derived
from wherry.context import is_local
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry.function import Function

if TYPE_CHECKING:
    from wherry._calling.caller import Caller
    from wherry._calling.variants import Changes
    from wherry._classes.partial import PartialFunction
    from wherry._connection.client import Client
    from wherry.app import App

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
NO_ARGUMENTS: Arguments = ((), {})


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
        # Callers of variants by their arguments, and whom they were made of.
        self._bound: dict[bytes, Caller] = {}
        self._bound_to: Caller | None = None
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
        from wherry._calling.variants import changes_of  # loads the messages

        return self._changed(changes_of(options))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Cls:
        """Return the class with so many inputs at once in a container. (reference: Cls.with_concurrency)"""
        from wherry._calling.variants import concurrency  # as above

        return self._changed(concurrency(max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Cls:
        """Return the class with its batched method's other sizes. (reference: Cls.with_batching)"""
        from wherry._calling.variants import batching  # as above

        return self._changed(batching(max_batch_size, wait_ms))

    def _changed(self, changes: Changes) -> Cls:
        blueprint = self._blueprint_or_none
        if blueprint is not None and changes.retries:
            _check_retries(blueprint)
        return Cls(self._name, self._service, self._blueprint_or_none, changes.over(self._changes))

    # Finding

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str,
        namespace: Any = None,
        environment_name: str | None = None,
        version: int | None = None,
    ) -> Cls:
        """Return a handle on a class of a running or deployed app; it is looked up when first used.

        `version` pins it to what it was in that version of the deployed app. (reference: Cls.from_name)
        """
        return cls(name, Function.from_name(app_name, name, namespace, environment_name, version))

    @blocking_classmethod
    def lookup(
        cls,
        app_name: str,
        name: str,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        version: int | None = None,
    ) -> Cls:
        """Return a class of a running or deployed app; raise NotFoundError, with near names, if there is none.

        `version` pins it to what it was in that version of the deployed app. (reference: Cls.lookup)
        """
        found = Cls(name, Function.lookup(app_name, name, namespace, client, environment_name, version))
        if not found._service._resolved().methods:
            raise NotFoundError(f"{name!r} of app {app_name!r} is a function: use wherry.Function.lookup")
        return found

    @blocking_classmethod
    def from_id(cls, object_id: str, client: Client | None = None) -> Cls:
        """Return the class of that id ("fu-…", the `object_id` of one); raise NotFoundError if there is none."""
        service = Function.from_id(object_id, client)
        if not service._resolved().methods:
            raise NotFoundError(f"{object_id} is a function: use wherry.Function.from_id")
        return Cls(service._name, service)

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
            known = self._service._definition
            # Of a class that was sent itself, only the code has arrived.
            options = known.options if known is not None else FunctionOptions(serialized=True)
            web = getattr(partial, "web", None)
            definition = Definition(partial.raw_f, f"{self._name}.{name}", partial.is_generator, options, web)
            self._definitions[name] = definition
        return definition

    def _caller(self, base: Caller, arguments: Arguments, method: str) -> Caller:
        """Return who calls a method of an object made with these arguments; raise NotFoundError if it has none."""
        from wherry._calling.variants import bind, pickled  # loads the messages

        if method not in base.methods:
            raise NotFoundError(f"class {self._name!r} has no method {method!r}{near(method, base.methods)}")
        parameters = pickled(arguments, self._name) if arguments != NO_ARGUMENTS else b""
        if not parameters and self._changes is None:
            return base.of_method(method)
        if self._bound_to is not base:
            self._bound, self._bound_to = {}, base
        caller = self._bound.get(parameters)
        if caller is None:
            caller = self._bound[parameters] = bind(base, parameters or None, self._changes)
        return caller.of_method(method)

    def __instancecheck__(self, instance: Any) -> bool:
        if isinstance(instance, Obj):
            return instance._cls._service is self._service
        return self._blueprint_or_none is not None and isinstance(instance, self._blueprint.user_class)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self._blueprint.user_class,)

    def __getattr__(self, name: str) -> Any:
        blueprint = self.__dict__.get("_blueprint_or_none")
        if blueprint is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name in blueprint.methods:
            raise _NoObject(
                f"{self._name}.{name} is a method: make an object first, for example {self._name}().{name}.remote(...)"
            )
        return getattr(blueprint.user_class, name)

    def __reduce__(self) -> Any:
        definition = self._service._definition
        is_imported = definition is not None and definition.is_global and not definition.sends_itself
        if definition is not None and is_imported and self._service._known() is None:
            from wherry.function import _imported  # where it is defined, it is found with its source

            place = definition.module_name, definition.function.__qualname__
            return (_imported, place) if self._changes is None else (_changed_import, (*place, self._changes))
        return Cls, (self._name, self._service, None, self._changes)

    def __repr__(self) -> str:
        return f"Cls({self._name!r})"


class _NoObject(InvalidError, AttributeError):
    """What looks for attributes, such as cloudpickle, goes on after an AttributeError."""


class Obj:
    """An object of a class that runs in containers: `obj.method.remote(...)`. (reference: Obj)

    Its other attributes are those of an object made here when first asked for, its enter hooks run.
    """

    def __init__(self, cls: Cls, arguments: Arguments, made: Any = None) -> None:
        self._cls = cls
        self._arguments = arguments
        blueprint = cls._blueprint_or_none
        self._local = LocalObject(blueprint, *arguments, made) if blueprint is not None else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_local" not in self.__dict__:
            raise AttributeError(name)
        blueprint = self._cls._blueprint_or_none
        if blueprint is None or self._local is None:
            return self._looked_up(name)
        if name in blueprint.methods:
            return Method(self, name)
        if name in blueprint.parameters:
            return getattr(self._local.plain(), name)
        made = self._local.entered()
        try:
            return getattr(made, name)
        except AttributeError:
            suggested = near(name, blueprint.methods)
            raise AttributeError(f"class {self._cls._name!r} has no method or attribute {name!r}{suggested}") from None

    def _looked_up(self, name: str) -> Function[..., Any]:
        caller = self._cls._service._known()
        if caller is not None and name not in caller.methods:
            raise AttributeError(f"class {self._cls._name!r} has no method {name!r}{near(name, caller.methods)}")
        return Method(self, name)

    def __reduce__(self) -> Any:
        return Obj, (self._cls, self._arguments)

    def __repr__(self) -> str:
        return f"Obj({self._cls._name!r})"


class Method(Derived[Any, Any]):
    """A method of an object."""

    def __init__(self, obj: Obj, method: str) -> None:
        cls = obj._cls
        partial = cls._blueprint_or_none.methods[method] if cls._blueprint_or_none is not None else None
        super().__init__(
            f"{cls._name}.{method}",
            cls._service,
            lambda caller: cls._caller(caller, obj._arguments, method),
            cls._definition_of(partial) if partial is not None else None,
        )
        self._obj = obj
        self._method = method

    def local(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the method here, on an object made once, its enter hooks run first. (reference: Function.local)"""
        if self._obj._local is None:
            self.get_raw_f()
        assert self._obj._local is not None
        return self._obj._local.run(self._method, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise InvalidError, but for code of the class itself: `self.method(...)` is a plain call there."""
        if self._obj._local is not None and self._obj._local.is_given:
            return self.local(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    def from_parametrized(self, obj: Any, args: Any, kwargs: dict[str, Any]) -> Function[..., Any]:
        """Return the same method of an object made with these arguments; `obj`, if not None, is what `.local()` uses.

        (reference: Function.from_parametrized)
        """
        made = self._obj._cls(*args, **kwargs)
        return Method(
            made if obj is None or isinstance(obj, Obj) else Obj(made._cls, made._arguments, obj), self._method
        )

    def _variant(self, changes: Changes) -> Function[Any, Any]:
        return Method(Obj(self._obj._cls._changed(changes), self._obj._arguments), self._method)

    def __reduce__(self) -> Any:
        return getattr, (self._obj, self._method)


def make(app: App, user_class: Any, name: str | None, options: FunctionOptions) -> Cls:
    """Return the handle of a class, and its function registered with the app."""
    if isinstance(user_class, Cls):
        raise InvalidError(f"{user_class!r} is a class of an app already: decorate it once")
    if not isinstance(user_class, type):
        raise InvalidError(f"@app.cls() got {user_class!r}: it goes on a class; a function has @app.function()")
    blueprint = Blueprint(user_class)
    if options.retries is not None and options.retries.max_retries:
        _check_retries(blueprint)
    if options.min_containers and blueprint.required:
        # There is nothing that such containers could run.
        _warn_of_warm(blueprint, options.min_containers)
        options.min_containers = 0
    definition = ClassDefinition(blueprint, name, options)
    service: Function[..., Any] = Function(definition.name, app=app, definition=definition)
    app._register(service, definition.name)
    made = Cls(definition.name, service, blueprint)
    setattr(user_class, HANDLE, Handle(made))
    return made


def received(user_class: type, app_name: str, name: str) -> Cls:
    """Return the handle of a class that was sent itself, in a container."""
    from wherry._calling.caller import look_up_own  # loads the session

    blueprint = Blueprint(user_class)
    made = Cls(name, Function(name, resolve=lambda: look_up_own(app_name, name)), blueprint)
    setattr(user_class, HANDLE, Handle(made))
    return made


def _changed_import(module_name: str, qualname: str, changes: Changes) -> Any:
    from wherry.function import _imported  # as above

    return _imported(module_name, qualname)._changed(changes)


def method_of(instance: Any, partial: PartialFunction[..., Any]) -> Function[..., Any]:
    """Return the handle on a method of a plain object, for code that has `self`."""
    handle = getattr(type(instance), HANDLE, None)
    if handle is None:
        raise InvalidError(
            f"{partial.__qualname__} has @wherry.method(), and its class has no @app.cls(): "
            f"put it above `class {type(instance).__name__}`"
        )
    # Who has the object is past its hooks, or is one of them.
    return Method(Obj(handle.cls, getattr(instance, ARGUMENTS, NO_ARGUMENTS), instance), partial.__name__)


def _check_retries(blueprint: Blueprint) -> None:
    for name, partial in blueprint.methods.items():
        if partial.is_generator or (partial.is_generator is None and kind_of(partial.raw_f)[0]):
            own = blueprint.user_class.__name__
            raise InvalidError(
                f"{own}.{name} is a generator: retries= does not work with it; leave it out, or move {name} to a class "
                "of its own"
            )


def _warn_of_warm(blueprint: Blueprint, count: int) -> None:
    import warnings  # only where there is something to say

    if is_local():
        own = blueprint.user_class.__name__
        shown = ", ".join(f"{name}=..." for name in blueprint.required)
        method = next(iter(blueprint.methods))
        warnings.warn(
            f"min_containers={count} of class {own} has no effect, since no object can be made without arguments: "
            f"use {own}({shown}).{method}.update_autoscaler(min_containers={count})",
            UserWarning,
            stacklevel=4,
        )
