"""Handles on objects that programs share: found by name or id, made where there are none."""

from __future__ import annotations

import os

from wherry._base.blocking import blocking_classmethod, making
from wherry._base.hints import TYPE_CHECKING, Any, Generic, TypeVar
from wherry._base.object import Object, given
from wherry._objects import _travelled
from wherry.context import is_local
from wherry.exception import DeprecationError, ExecutionError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from wherry._connection.client import Client
    from wherry_proto.messages import Message, ObjectInfo

    class OwnApp(Protocol):
        """The app that an object belongs to."""

        @property
        def app_id(self) -> str | None:
            """Its id while it runs, or once it was deployed."""


H = TypeVar("H")


def nothing_to_delete(error: NotFoundError) -> NotFoundError:
    """Return the error without the service's advice to create what somebody wants to delete."""
    return NotFoundError(str(error).partition(": create it with `")[0])


class SharedObject(Object):
    """What `Dict` and `Queue` have in common. Two handles on one object are equal when both were used."""

    # Of the class: what it is called, what its ids begin with, and its methods.
    _kind = ""
    _prefix = ""
    _service = ""
    # Whether the containers of functions have it, and this is one.
    _is_given = False

    def __init__(
        self,
        *,
        name: str = "",
        environment: str = "",
        create: bool = False,
        object_id: str = "",
        is_own: bool = False,
        client: Client | None = None,
    ) -> None:
        self._name = name
        self._environment = environment
        self._create = create
        self._id = object_id
        # Made by `new()`: an app's own, once it is an attribute of one.
        self._is_own = is_own
        self._app: OwnApp | None = None
        self._app_id = ""
        self._known_client = client

    # Making handles

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        namespace: Any = None,
        client: Client | None = None,
    ) -> Self:
        """Return a handle on the object of that name; it is looked up when first used.

        Raises NotFoundError then where there is none, unless `create_if_missing`. (reference: from_name)
        """
        if not isinstance(name, str) or not name:
            raise InvalidError(f"{cls.__name__}.from_name got {name!r}: a name is a string")
        return cls(name=name, environment=environment_name or "", create=create_if_missing, client=client)

    @making
    def lookup(
        cls: Any,
        name: str,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        create_if_missing: bool = False,
    ) -> Any:
        """Like `from_name`, but looked up at once. (reference: lookup)"""
        found = cls.from_name(
            name, environment_name=environment_name, create_if_missing=create_if_missing, client=client
        )
        found.reached()
        return found

    @classmethod
    def persisted(cls, label: str, namespace: Any = None, environment_name: str | None = None) -> Self:
        """Old spelling of `from_name(label, create_if_missing=True)`. (reference: persisted)"""
        import warnings  # noqa: PLC0415 - start-up cost: loaded with the interpreter

        if is_local():
            warnings.warn(
                f"{cls.__name__}.persisted(…) is now {cls.__name__}.from_name(…, create_if_missing=True)",
                DeprecationError,
                stacklevel=2,
            )
        return cls.from_name(label, environment_name=environment_name, create_if_missing=True)

    @classmethod
    def new(cls) -> Self:
        """Return an object that belongs to an app: `app.results = Dict.new()`; it is deleted with the app.

        (reference: new)
        """
        return cls(is_own=True)

    @classmethod
    def _ephemeral(cls, client: Client | None, environment_name: str | None, **how: Any) -> Ephemeral[Any]:
        return Ephemeral(cls(environment=environment_name or "", client=client, **how), cls._service)

    @blocking_classmethod
    def delete(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        allow_missing: bool = False,
        client: Client | None = None,
    ) -> None:
        """Delete the object of that name, with everything in it.

        Raises NotFoundError where there is none, unless `allow_missing`. (reference: delete)
        """
        cls._delete(name, client, environment_name, allow_missing)

    @classmethod
    def _delete(cls, name: str, client: Client | None, environment_name: str | None, allow_missing: bool) -> None:
        try:
            found = cls.from_name(name, environment_name=environment_name, client=client)
            found.discard()
        except NotFoundError as error:
            if not allow_missing:
                raise nothing_to_delete(error) from None

    @classmethod
    def _of_id(cls, client: Client | None, **named: str | None) -> Self:
        """Return a handle on the object of the id that one of the parameter's names has."""
        from wherry._base.ids import check_id  # noqa: PLC0415 - start-up cost: not needed to import wherry

        found = given(f"{cls.__name__}.from_id", **named)
        return cls(object_id=check_id(found, cls._prefix, cls._kind), client=client)

    # What it is

    @property
    def object_id(self) -> str:
        """The id; looked up if it is not known yet."""
        return self._resolve()

    @property
    def name(self) -> str | None:
        """The name; None if it has none."""
        return self._name or None

    def __repr__(self) -> str:
        shown = self._name or self._id or "not used yet"
        return f"{type(self).__name__}({shown!r})"

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and bool(self._id) and other._id == self._id)

    def __hash__(self) -> int:
        return hash(type(self))

    def __reduce__(self) -> Any:
        if self._name and self._app is None:
            return _travelled, (type(self), self._name, self._environment, self._create, "")
        return _travelled, (type(self), "", "", False, self._resolve())

    # For managers

    @classmethod
    def named(cls, client: Client, environment: str) -> list[ObjectInfo]:
        """Inside wherry: return those of an environment ("": the client's) that have a name."""
        from wherry_proto.messages import ObjectListRequest, ObjectListResponse  # noqa: PLC0415 - start-up cost: not needed to import wherry

        request = ObjectListRequest(environment=environment or client.environment)
        return client.call(f"{cls._service}.List", request, ObjectListResponse).objects

    @classmethod
    def of_info(cls, info: ObjectInfo, client: Client) -> Self:
        """Inside wherry: return a handle on what was listed."""
        return cls(name=info.name, environment=info.environment, object_id=info.object_id, client=client)

    def _looked_at(self, kind: Any) -> Any:
        from wherry._objects.infos import time_of  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import ObjectInfo, ObjectOpenRequest  # noqa: PLC0415 - start-up cost: as above

        info = self._call("Open", ObjectOpenRequest(object_id=self._resolve()), ObjectInfo)
        return kind(info.name or None, time_of(info.created_at_ms), None)

    # For apps

    def become_own(self, app: OwnApp, name: str) -> bool:
        """Inside wherry: become the app's own under that name; return whether it is one that can be."""
        if self._is_own:
            self._app, self._name = app, name
        return self._is_own

    def bring_up(self, client: Client, app_id: str) -> None:
        """Inside wherry: make it as the app's own, before there are containers that may ask for it."""
        self._known_client = client
        if app_id != self._app_id:
            self._id, self._app_id = self._open(name=self._name, create=True, app_id=app_id), app_id

    # Asking

    def __wherry_find__(self, client: Client | None) -> None:
        if client is not None:
            self._known_client = client
        is_known = bool(self._id)
        object_id = self._resolve()
        if is_known and not self._name:
            # Nobody has asked whether there is one of this id.
            self._id = self._open(object_id=object_id)

    def __wherry_known__(self) -> bool:
        return bool(self._id) or self._is_given

    def be_given(self) -> None:
        """Inside wherry: note that functions have it. In their containers it is there, whoever asks."""
        self._is_given = not is_local()

    def reached(self) -> tuple[Client, str]:
        """Inside wherry: return the client that asks for it, and its id; looked for where it is not known yet."""
        return self._client, self._resolve()

    @property
    def _client(self) -> Client:
        if self._known_client is None:
            from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session

            self._known_client = default_client()
        return self._known_client

    def _call(self, verb: str, request: Message, kind: type[Any]) -> Any:
        return self._client.call(f"{self._service}.{verb}", request, kind)

    def _resolve(self) -> str:
        if self._app is not None:
            app_id = (self._app.app_id or "") if is_local() else "own"
            if not app_id:
                raise ExecutionError(
                    f"{type(self).__name__} {self._name!r} belongs to {self._app!r}, which does not run: use it within "
                    f"`with app.run():`, or use {type(self).__name__}.from_name, which needs no app"
                )
            if app_id != self._app_id:
                self._id, self._app_id = self._open(name=self._name, create=True, app_id=app_id), app_id
        elif not self._id and self._name:
            self._id = self._open(name=self._name, environment=self._environment, create=self._create)
        elif not self._id:
            if self._is_own and not is_local():
                raise ExecutionError(
                    f"{type(self).__name__}.new() is no app's own: make it an attribute of the app, as in "
                    f"app.mine = {type(self).__name__}.new(), or use {type(self).__name__}.from_name"
                )
            # The service ties it to this client, so that has to be known there.
            _ = self._client.session
            self._id = self._open(environment=self._environment, create=True, client_id=self._client.client_id)
        return self._id

    def _open(self, **fields: Any) -> str:
        from wherry_proto.messages import ObjectInfo, ObjectOpenRequest  # noqa: PLC0415 - start-up cost: not needed to import wherry

        request = ObjectOpenRequest(**fields)
        request.environment = request.environment or self._client.environment
        object_id: str = self._call("Open", request, ObjectInfo).object_id
        if request.create and is_local():
            self._fill(object_id)
        return object_id

    def _fill(self, object_id: str) -> None:
        """Give a new object what it begins with."""

    def discard(self) -> ObjectInfo:
        """Inside wherry: delete it, and return what it was."""
        from wherry_proto.messages import ObjectDeleteRequest, ObjectInfo  # noqa: PLC0415 - start-up cost: as above

        info: ObjectInfo = self._call("Delete", ObjectDeleteRequest(object_id=self._resolve()), ObjectInfo)
        self._id = ""
        return info


class Ephemeral(Generic[H]):
    """Makes an object for the length of a block."""

    def __init__(self, made: Any, service: str) -> None:
        self._made = made
        self._service = service
        self._pid = os.getpid()
        self._reached: tuple[Client, str] | None = None

    def __enter__(self) -> H:
        self._reached = self._made.reached()
        made: H = self._made
        return made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from wherry_proto.messages import ObjectDeleteRequest  # noqa: PLC0415 - start-up cost: not needed to import wherry

        if os.getpid() != self._pid or self._reached is None:
            return  # in a forked child: the object is its parent's
        client, object_id = self._reached
        # A service that is away deletes it by itself: it knows which client is gone.
        client.tell(f"{self._service}.Delete", ObjectDeleteRequest(object_id=object_id))

    async def __aenter__(self) -> H:
        from wherry._base.waiting import entered_in_thread  # noqa: PLC0415 - start-up cost: only in async programs

        return await entered_in_thread(self)  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        await asyncio.to_thread(self.__exit__, kind, error, traceback)
