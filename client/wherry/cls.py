"""Classes whose methods run in containers, one object in each."""

from __future__ import annotations

from wherry._base.blocking import blocking, blocking_classmethod
from wherry._base.code import kind_of
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.misuse import near
from wherry._base.object import Object, given
from wherry._calling.callee import Callee, Derived, own_by_name
from wherry._classes.blueprint import ARGUMENTS, Blueprint, Handle
from wherry._classes.definition import ClassDefinition
from wherry._classes.local_object import LocalObject
from wherry._classes.parameters import parameter as parameter  # noqa: PLC0414 - programs import it from here
from wherry._classes.partial import HANDLE
from wherry._define.definition import Definition
from wherry._define.options import FunctionOptions
from wherry.context import is_local
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry.function import Function, _imported

if TYPE_CHECKING:
    from wherry._app.roster import Roster
    from wherry._calling.caller import Caller
    from wherry._calling.variants import Changes
    from wherry._classes.partial import PartialFunction
    from wherry._connection.client import Client

__all__ = ["Cls", "Method", "Obj"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
NO_ARGUMENTS: Arguments = ((), {})


class Kind:
    """What a handle on a class stands for: the class, as far as it is known here, and its containers."""

    def __init__(
        self, name: str, service: Function[..., Any], blueprint: Blueprint | None, changes: Changes | None
    ) -> None:
        self.name = name
        # The function that stands for the class in its app.
        self.service = service
        self.blueprint = blueprint  # None: it was looked up
        self.changes = changes
        self._definitions: dict[str, Definition] = {}
        # Callers of variants by their arguments, and whom they were made of.
        self._bound: dict[bytes, Caller] = {}
        self._bound_to: Caller | None = None

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Return the arguments in their one form; raise TypeError if the class does not take them."""
        if self.blueprint is not None:
            return self.blueprint.bind(args, kwargs)
        return args, dict(sorted(kwargs.items()))

    def changed(self, changes: Changes) -> Cls:
        """Return a handle on the class with other options; raise InvalidError for what can't differ."""
        if self.blueprint is not None and changes.retries:
            _check_retries(self.blueprint)
        return Cls(self.name, self.service, self.blueprint, changes.over(self.changes))

    def definition_of(self, partial: PartialFunction[..., Any]) -> Definition:
        """Return how a method is defined."""
        name = partial.__name__
        definition = self._definitions.get(name)
        if definition is None:
            known = self.service.definition
            # Of a class that was sent itself, only the code has arrived.
            options = known.options if known is not None else FunctionOptions(serialized=True)
            web = getattr(partial, "web", None)
            definition = Definition(partial.raw_f, f"{self.name}.{name}", partial.is_generator, options, web)
            self._definitions[name] = definition
        return definition

    def caller_of(self, base: Caller, arguments: Arguments, method: str) -> Caller:
        """Return who calls a method of an object made with these arguments; raise NotFoundError if it has none."""
        if method not in base.methods:
            raise NotFoundError(f"class {self.name!r} has no method {method!r}{near(method, base.methods)}")
        return self.containers_of(base, arguments).of_method(method)

    def containers_of(self, base: Caller, arguments: Arguments) -> Caller:
        """Return what stands for the containers with an object that is made with these arguments."""
        from wherry._calling.variants import bind, pickled  # noqa: PLC0415 - start-up cost: loads the messages

        parameters = pickled(arguments, self.name) if arguments != NO_ARGUMENTS else b""
        if not parameters and self.changes is None:
            return base
        if self._bound_to is not base:
            self._bound, self._bound_to = {}, base
        caller = self._bound.get(parameters)
        if caller is None:
            caller = self._bound[parameters] = bind(base, parameters or None, self.changes)
        return caller


class Cls(Object):
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
        # So named since all other names are the user's class's.
        self.__wherry_kind__ = Kind(name, service, blueprint, changes)
        if blueprint is not None:
            self.__doc__ = blueprint.user_class.__doc__
            self.__name__ = blueprint.user_class.__name__
            self.__module__ = blueprint.user_class.__module__
            self.__wrapped__ = blueprint.user_class

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        """Return an object; nothing runs yet. Raises TypeError for arguments that the class does not take."""
        return Obj(self, self.__wherry_kind__.arguments(args, kwargs))

    # Variants

    def with_options(self, **options: Any) -> Cls:
        """Return the class with other options, in containers of its own; the parameters are those of `@app.cls`.

        Raises InvalidError for what can't differ. (reference: Cls.with_options)
        """
        from wherry._calling.variants import changes_of  # noqa: PLC0415 - start-up cost: loads the messages

        return self.__wherry_kind__.changed(changes_of(options))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> Cls:
        """Return the class with this many inputs at once in a container. (reference: Cls.with_concurrency)"""
        from wherry._calling.variants import concurrency  # noqa: PLC0415 - start-up cost: as above

        return self.__wherry_kind__.changed(concurrency(max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Cls:
        """Return the class with other sizes of its method's batches. (reference: Cls.with_batching)"""
        from wherry._calling.variants import batching  # noqa: PLC0415 - start-up cost: as above

        return self.__wherry_kind__.changed(batching(max_batch_size, wait_ms))

    # Finding

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str | None = None,
        namespace: Any = None,
        environment_name: str | None = None,
        version: int | None = None,
        client: Client | None = None,
        *,
        tag: str | None = None,
    ) -> Cls:
        """Return a handle on a class of a running or deployed app; it is looked up when first used.

        `version` pins it to what it was in that version of the deployed app; `tag` is the older name of `name`.
        (reference: Cls.from_name)
        """
        own = given("Cls.from_name", name=name, tag=tag)
        return cls(own, Function.from_name(app_name, own, namespace, environment_name, version, client))

    @blocking_classmethod
    def lookup(
        cls,
        app_name: str,
        name: str | None = None,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        version: int | None = None,
        *,
        tag: str | None = None,
    ) -> Cls:
        """Return a class of a running or deployed app; raise NotFoundError, with near names, if there is none.

        The parameters are those of `from_name`. (reference: Cls.lookup)
        """
        own = given("Cls.lookup", name=name, tag=tag)
        found = Cls.from_name(app_name, own, namespace, environment_name, version, client)
        found.__wherry_find__(None)
        return found

    @blocking_classmethod
    def from_id(cls, cls_id: str | None = None, client: Client | None = None, *, object_id: str | None = None) -> Cls:
        """Return the class of that id ("fu-…", the `object_id` of one); raise NotFoundError if there is none.

        `object_id` is the older name of `cls_id`.
        """
        found_id = given("Cls.from_id", cls_id=cls_id, object_id=object_id)
        service = Function.from_id(found_id, client)
        if not service.callee.resolved().methods:
            raise NotFoundError(f"{found_id} is a function: use wherry.Function.from_id")
        return Cls(service.name, service)

    @property
    def object_id(self) -> str:
        """The id of the function that stands for the class, "fu-…". Raises ExecutionError before there is one."""
        return self.__wherry_kind__.service.object_id

    # Inside

    def __wherry_find__(self, client: Any) -> None:
        kind = self.__wherry_kind__
        if not kind.service.callee.resolved(client).methods:
            raise NotFoundError(f"{kind.name!r} is a function, and no class: use wherry.Function")

    def __wherry_known__(self) -> bool:
        return self.__wherry_kind__.service.is_hydrated

    @property
    def _blueprint(self) -> Blueprint:
        # Containers ask for it by this name.
        kind = self.__wherry_kind__
        if kind.blueprint is None:
            raise ExecutionError(f"{kind.name} was looked up, so its source is not here: use .remote()")
        return kind.blueprint

    def __instancecheck__(self, instance: Any) -> bool:
        kind = self.__wherry_kind__
        if isinstance(instance, Obj):
            return instance.__wherry_object__.kind.service is kind.service
        return kind.blueprint is not None and isinstance(instance, kind.blueprint.user_class)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self._blueprint.user_class,)

    def __getattr__(self, name: str) -> Any:
        kind = self.__dict__.get("__wherry_kind__")
        if kind is None or kind.blueprint is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name in kind.blueprint.methods:
            raise _NoObject(
                f"{kind.name}.{name} is a method: make an object first, for example {kind.name}().{name}.remote(...)"
            )
        return getattr(kind.blueprint.user_class, name)

    def __reduce__(self) -> Any:
        kind = self.__wherry_kind__
        definition = kind.service.definition
        is_imported = definition is not None and definition.is_global and not definition.sends_itself
        if definition is not None and is_imported and kind.service.callee.known() is None:
            place = definition.module_name, definition.function.__qualname__
            return (_imported, place) if kind.changes is None else (_changed_import, (*place, kind.changes))
        return Cls, (kind.name, kind.service, None, kind.changes)

    def __repr__(self) -> str:
        return f"Cls({self.__wherry_kind__.name!r})"

    def __wherry_facts__(self) -> dict[str, Any]:
        facts = self.__wherry_kind__.service.__wherry_facts__()
        caller = self.__wherry_kind__.service.callee.known()
        return {**facts, "methods": ", ".join(caller.methods) if caller is not None else ""}


class _NoObject(InvalidError, AttributeError):
    """What looks for attributes, such as cloudpickle, goes on after an AttributeError. Shown as InvalidError."""


_NoObject.__name__ = _NoObject.__qualname__ = "InvalidError"
_NoObject.__module__ = "wherry.exception"


class Made:
    """What an object stands for: its class, what it is made with, and the same object here."""

    __slots__ = ("arguments", "cls", "kind", "local")

    def __init__(self, cls: Cls, arguments: Arguments, made: Any) -> None:
        self.cls = cls
        self.kind = kind = cls.__wherry_kind__
        self.arguments = arguments
        # None: its class was looked up.
        self.local = LocalObject(kind.blueprint, *arguments, made) if kind.blueprint is not None else None

    def callee(self, method: str) -> Callee:
        """Return who is called by a method."""
        kind = self.kind
        return Derived(kind.service.callee, lambda caller: kind.caller_of(caller, self.arguments, method))

    def containers(self) -> Caller:
        """Return what stands for the object's containers."""
        return self.kind.containers_of(self.kind.service.callee.resolved(), self.arguments)

    def definition(self, method: str) -> Definition | None:
        """Return how a method is defined."""
        blueprint = self.kind.blueprint
        return self.kind.definition_of(blueprint.methods[method]) if blueprint is not None else None


class Obj:
    """An object of a class that runs in containers: `obj.method.remote(...)`. (reference: Obj)

    Its other attributes are those of an object made here when first asked for, its enter hooks run.
    """

    def __init__(self, cls: Cls, arguments: Arguments, made: Any = None) -> None:
        # So named since all other names are the user's object's.
        self.__wherry_object__ = Made(cls, arguments, made)

    @blocking
    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> None:
        """Change how the containers of this object's arguments scale, until the app is published again.

        Counts of containers, and seconds; None changes nothing. Raises InvalidError out of range.
        (reference: Obj.update_autoscaler)
        """
        from wherry._calling.variants import update  # noqa: PLC0415 - start-up cost: loads the messages

        update(self.__wherry_object__.containers(), min_containers, max_containers, buffer_containers, scaledown_window)

    @blocking
    def keep_warm(self, warm_pool_size: int) -> None:
        """Keep this many containers with this object's arguments, until the app is published again.

        (reference: Obj.keep_warm)
        """
        from wherry._calling.variants import update  # noqa: PLC0415 - start-up cost: as above

        update(self.__wherry_object__.containers(), warm_pool_size, None, None, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "__wherry_object__" not in self.__dict__:
            raise AttributeError(name)
        own = self.__wherry_object__
        blueprint = own.kind.blueprint
        if blueprint is None or own.local is None:
            return self._looked_up(name)
        if name in blueprint.methods:
            return Method(self, name)
        if name in blueprint.parameters:
            return getattr(own.local.plain(), name)
        made = own.local.entered()
        try:
            return getattr(made, name)
        except AttributeError:
            suggested = near(name, blueprint.methods)
            raise AttributeError(f"class {own.kind.name!r} has no method or attribute {name!r}{suggested}") from None

    def _looked_up(self, name: str) -> Function[..., Any]:
        kind = self.__wherry_object__.kind
        caller = kind.service.callee.known()
        if caller is not None and name not in caller.methods:
            raise AttributeError(f"class {kind.name!r} has no method {name!r}{near(name, caller.methods)}")
        return Method(self, name)

    def __reduce__(self) -> Any:
        return Obj, (self.__wherry_object__.cls, self.__wherry_object__.arguments)

    def __repr__(self) -> str:
        return f"Obj({self.__wherry_object__.kind.name!r})"


class Method(Function[Any, Any]):
    """A method of an object."""

    # So many of the plain function's parameters: `self`.
    __wherry_given__ = 1

    def __init__(self, obj: Obj, method: str) -> None:
        own = obj.__wherry_object__
        service = own.kind.service
        super().__init__(
            f"{own.kind.name}.{method}",
            owner=service.owner,
            definition=own.definition(method),
            callee=own.callee(method),
        )
        self._obj = obj
        self._own = own
        self._method = method

    def local(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the method here, on an object made once, its enter hooks run first. (reference: Function.local)"""
        if self._own.local is None:
            self.get_raw_f()
        assert self._own.local is not None
        return self._own.local.run(self._method, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise InvalidError, but for code of the class itself: `self.method(...)` is a plain call there."""
        if self._own.local is not None and self._own.local.is_given:
            return self.local(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    def from_parametrized(self, obj: Any, args: Any, kwargs: dict[str, Any]) -> Function[..., Any]:
        """Return the same method of an object made with these arguments; `obj`, if not None, is what `.local()` uses.

        (reference: Function.from_parametrized)
        """
        kind = self._own.kind
        made = None if isinstance(obj, Obj) else obj
        return Method(Obj(self._own.cls, kind.arguments(args, kwargs), made), self._method)

    def _web_url(self) -> str:
        from wherry._classes.web import with_query  # noqa: PLC0415 - start-up cost: only for those who ask

        if self._own.kind.changes is not None:
            return ""
        base = self._own.kind.service.callee.resolved().of_method(self._method)
        return with_query(base.web_url, self._own.arguments[1])

    def _variant(self, changes: Changes) -> Function[Any, Any]:
        return Method(Obj(self._own.kind.changed(changes), self._own.arguments), self._method)

    def __reduce__(self) -> Any:
        return getattr, (self._obj, self._method)


def make(
    roster: Roster,
    user_class: Any,
    name: str | None,
    options: FunctionOptions,
) -> Cls:
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
    definition = ClassDefinition(blueprint, name, options, _SentClass)
    service = roster.add(definition)
    made = Cls(definition.name, service, blueprint)
    setattr(user_class, HANDLE, Handle(made, _method_of))
    return made


class _SentClass:
    """Arrives in the container as the class's handle."""

    def __init__(self, user_class: type, name: str) -> None:
        self._user_class = user_class
        self._name = name

    def __reduce__(self) -> Any:
        return received, (self._user_class, "", self._name)


def received(user_class: type, app_name: str, name: str) -> Cls:
    """Return the handle of a class that was sent itself, in a container."""
    blueprint = Blueprint(user_class)
    made = Cls(name, Function(name, callee=own_by_name(name, app_name)), blueprint)
    setattr(user_class, HANDLE, Handle(made, _method_of))
    return made


def _changed_import(module_name: str, qualname: str, changes: Changes) -> Any:
    found: Cls = _imported(module_name, qualname)
    return found.__wherry_kind__.changed(changes)


def _method_of(cls: Cls, instance: Any, partial: PartialFunction[..., Any]) -> Function[..., Any]:
    # Who has the object is past its hooks, or is one of them.
    return Method(Obj(cls, getattr(instance, ARGUMENTS, NO_ARGUMENTS), instance), partial.__name__)


def _check_retries(blueprint: Blueprint) -> None:
    for name, partial in blueprint.methods.items():
        if partial.is_generator or (partial.is_generator is None and kind_of(partial.raw_f)[0]):
            own = blueprint.user_class.__name__
            raise InvalidError(
                f"{own}.{name} is a generator: retries= does not work with it; leave it out, or move {name} to a class "
                "of its own"
            )


def _warn_of_warm(blueprint: Blueprint, count: int) -> None:
    import warnings  # noqa: PLC0415 - start-up cost: only where there is something to say

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
