"""Dicts that functions and programs share."""

from __future__ import annotations

from wherry._base.blocking import blocking, blocking_classmethod, iterating, iterating_classmethod
from wherry._base.hints import TYPE_CHECKING, Any, Generic, TypeVar, overload
from wherry._objects.managed import Managed
from wherry._objects.shared import Ephemeral, SharedObject
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from wherry._base.pages import Pages
    from wherry._connection.client import Client
    from wherry._objects.infos import DictInfo
    from wherry._objects.managers import DictManager
    from wherry._objects.typed import DictGet, DictPop
    from wherry_proto.messages import DictValue

# A dict whose types nobody has said is one of anything.
K = TypeVar("K", default=Any)
V = TypeVar("V", default=Any)
A = TypeVar("A")
B = TypeVar("B")

if TYPE_CHECKING:

    class getting:
        """Decorates `get`, which type checkers see as `DictGet`."""

        def __init__(self, method: Callable[..., Any]) -> None: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Any: ...
        @overload
        def __get__(self, instance: Dict[A, B], owner: type) -> DictGet[A, B]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a dict."""

    class popping:
        """Decorates `pop`, which type checkers see as `DictPop`."""

        def __init__(self, method: Callable[..., Any]) -> None: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Any: ...
        @overload
        def __get__(self, instance: Dict[A, B], owner: type) -> DictPop[A, B]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a dict."""

else:
    getting = popping = blocking


class _Absent:
    """Stands where nothing was given, or nothing is."""

    def __repr__(self) -> str:
        return "<nothing>"


_ABSENT: Any = _Absent()
# Entries and bytes that one message takes.
_MOST = 2000
_BYTES = 4 << 20


class Dict(SharedObject, Generic[K, V]):
    """A dict that functions and programs share; on the service's disk, and never expiring by itself.

    Keys and values are whatever pickles. Keys are equal when their pickles are: 1 and 1.0 are two keys, and plain data
    (strings, numbers, tuples of them) makes the best ones. Each key is read and written whole: there is no moment at
    which it is half of one value and half of another. A value is a copy: after changing it, put it back.
    Type checkers know what is in it where that is said: `Dict[str, int].from_name("counts")`. (reference: Dict)
    """

    _kind, _prefix, _service = "dict", "di", "Dicts"

    objects: Managed[DictManager] = Managed("DictManager")

    def __init__(self, **how: Any) -> None:
        self._data: Mapping[K, V] | None = how.pop("data", None)
        super().__init__(**how)

    @classmethod
    def from_name(
        cls,
        name: str,
        data: Mapping[K, V] | None = None,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        namespace: Any = None,
        client: Client | None = None,
    ) -> Self:
        """Return a handle on the dict of that name; looked for when first used.

        Raises NotFoundError then where there is none, unless `create_if_missing`. `data`: entries that it has then,
        where it lacks their keys. (reference: Dict.from_name)
        """
        found: Self = super().from_name(
            name,
            environment_name=environment_name,
            create_if_missing=create_if_missing,
            namespace=namespace,
            client=client,
        )
        found._data = data
        return found

    @classmethod
    def from_id(cls, dict_id: str | None = None, client: Client | None = None, *, object_id: str | None = None) -> Self:
        """Return a handle on the dict of that id; raise InvalidError where it is no such id.

        `object_id` is the older name of `dict_id`. (reference: Dict.from_id)
        """
        return cls._of_id(client, dict_id=dict_id, object_id=object_id)

    @blocking
    def info(self) -> DictInfo:
        """Return the dict's name, and when it was created; raise NotFoundError. (reference: Dict.info)"""
        from wherry._objects.infos import DictInfo  # noqa: PLC0415 - start-up cost: only for those who ask

        found: DictInfo = self._looked_at(DictInfo)
        return found

    @classmethod
    def new(cls, data: Mapping[K, V] | None = None) -> Self:
        """Return a dict that an app has as its own, with these entries at first: `app.results = Dict.new()`.

        It is deleted with the app. (reference: Dict.new)
        """
        return cls(is_own=True, data=data)

    if TYPE_CHECKING:

        @blocking_classmethod
        def lookup(  # of one whose types nobody has said
            cls,
            name: str,
            namespace: Any = None,
            client: Client | None = None,
            environment_name: str | None = None,
            create_if_missing: bool = False,
        ) -> Dict[Any, Any]:
            """Like `from_name`, but looked up at once. (reference: lookup)"""
            raise NotImplementedError

    @iterating_classmethod
    def ephemeral(
        cls: Any,
        data: Mapping[Any, Any] | None = None,
        client: Client | None = None,
        environment_name: str | None = None,
    ) -> Ephemeral[Dict[Any, Any]]:
        """Return what makes a dict for the length of a `with` or `async with` block. (reference: Dict.ephemeral)

        It is deleted with this program, too, however that ends.
        """
        made: Ephemeral[Dict[Any, Any]] = cls._ephemeral(client, environment_name, data=data)
        return made

    # Reading

    @getting
    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of a key, or `default`. (reference: Dict.get)"""
        value = self._get(key)
        return default if value is _ABSENT else value

    @blocking
    def contains(self, key: K) -> bool:
        """Return whether the key exists. (reference: Dict.contains)"""
        return self._ask(key, without_value=True).found

    @blocking
    def len(self) -> int:
        """Return how many entries there are. (reference: Dict.len)"""
        from wherry_proto.messages import DictCount, DictCountRequest  # noqa: PLC0415 - start-up cost: not needed to import wherry

        count: int = self._call("Count", DictCountRequest(dict_id=self._resolve()), DictCount).count
        return count

    @iterating
    def keys(self) -> Pages[K]:
        """Iterate the keys, in the order in which they came, with `for` or `async for`. (reference: Dict.keys)

        Keys that are written meanwhile may come or not. Keys that exist all the time come exactly once.
        """
        return self._pages(False, lambda key, value: key())

    @iterating
    def values(self) -> Pages[V]:
        """Iterate the values, as `keys`. (reference: Dict.values)"""
        return self._pages(True, lambda key, value: value())

    @iterating
    def items(self) -> Pages[tuple[K, V]]:
        """Iterate pairs of key and value, as `keys`. (reference: Dict.items)"""
        return self._pages(True, lambda key, value: (key(), value()))

    # Writing

    @blocking
    def put(self, key: K, value: V, *, skip_if_exists: bool = False, ttl: float | None = None) -> bool:
        """Write an entry; return whether it was written.

        `skip_if_exists`: only if the key does not exist; of many who try at once, one gets True. `ttl`: seconds
        after which the entry is deleted; None: never. (reference: Dict.put)
        """
        if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl <= 0):
            raise InvalidError(f"ttl is {ttl!r}: it must be a number of seconds above 0, or None")
        return self._put_all([(key, value)], skip_if_exists, ttl or 0.0) == 1

    @blocking
    def update(self, other: Mapping[K, V] | None = None, /, **kwargs: V) -> None:
        """Write many entries; each is written whole, but not all at one moment. (reference: Dict.update)"""
        entries: dict[Any, V] = {**dict(other or {}), **kwargs}
        self._put_all(list(entries.items()), False, 0.0)

    @popping
    def pop(self, key: Any, default: Any = _ABSENT) -> Any:
        """Take an entry out and return its value; of many who try, one gets it.

        Raises KeyError if the key does not exist and no `default` is given. (reference: Dict.pop)
        """
        value = self._pop(key)
        if value is not _ABSENT:
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    @blocking
    def clear(self) -> None:
        """Delete all entries. (reference: Dict.clear)"""
        from wherry._base.ids import new_id  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import DictClearRequest, DictCount  # noqa: PLC0415 - start-up cost: as above

        self._call("Clear", DictClearRequest(dict_id=self._resolve(), operation_id=new_id("op")), DictCount)

    # As a dict

    @blocking
    def __getitem__(self, key: K) -> V:
        value: V = self._get(key)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    @blocking
    def __contains__(self, key: K) -> bool:
        return self.contains(key)

    # As `list(d)` asks for a length first, and `for key in d` would try numbers without this.
    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def _fill(self, object_id: str) -> None:
        if self._data:
            self._put_all(list(self._data.items()), True, 0.0, object_id)

    def _get(self, key: Any) -> Any:
        from wherry._connection.values import value_of  # noqa: PLC0415 - start-up cost: loads the session

        answer = self._ask(key)
        return value_of(self._client, answer.value) if answer.found else _ABSENT

    def _ask(self, key: Any, without_value: bool = False) -> DictValue:
        from wherry._connection.values import key_bytes  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import DictGetRequest, DictValue  # noqa: PLC0415 - start-up cost: as above

        request = DictGetRequest(dict_id=self._resolve(), key=key_bytes(key), without_value=without_value)
        answer: DictValue = self._call("Get", request, DictValue)
        return answer

    def _pop(self, key: Any) -> Any:
        from wherry._base.ids import new_id  # noqa: PLC0415 - start-up cost: as above
        from wherry._connection.values import key_bytes, value_of  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import DictPopRequest, DictValue  # noqa: PLC0415 - start-up cost: as above

        request = DictPopRequest(dict_id=self._resolve(), operation_id=new_id("op"), key=key_bytes(key))
        answer = self._call("Pop", request, DictValue)
        return value_of(self._client, answer.value) if answer.found else _ABSENT

    def _put_all(self, pairs: list[tuple[Any, Any]], skip_if_exists: bool, ttl_s: float, object_id: str = "") -> int:
        """Write entries, in as many messages as they need; return how many were written."""
        from wherry._connection.values import key_bytes, payload_of  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import DictEntry  # noqa: PLC0415 - start-up cost: as above

        object_id = object_id or self._resolve()
        written = 0
        entries: list[DictEntry] = []
        size = 0
        for key, value in pairs:
            entry = DictEntry(key=key_bytes(key), value=payload_of(self._client, value, f"the value of {key!r:.80}"))
            entry_size = len(entry.key) + len(entry.value.data if entry.value is not None else b"")
            if entries and (len(entries) == _MOST or size + entry_size > _BYTES):
                written += self._send(object_id, entries, skip_if_exists, ttl_s)
                entries, size = [], 0
            entries.append(entry)
            size += entry_size
        return written + (self._send(object_id, entries, skip_if_exists, ttl_s) if entries else 0)

    def _send(self, object_id: str, entries: list[Any], skip_if_exists: bool, ttl_s: float) -> int:
        from wherry._base.ids import new_id  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import DictPutRequest, DictPutResponse  # noqa: PLC0415 - start-up cost: as above

        request = DictPutRequest(
            dict_id=object_id, operation_id=new_id("op"), entries=entries, skip_if_exists=skip_if_exists, ttl_s=ttl_s
        )
        written: int = self._call("Put", request, DictPutResponse).num_written
        return written

    def _pages(self, with_values: bool, pick: Any) -> Pages[Any]:
        from wherry._base.pages import Pages  # noqa: PLC0415 - start-up cost: as above
        from wherry._connection.values import key_of, value_of  # noqa: PLC0415 - start-up cost: as above
        from wherry_proto.messages import DictPage, DictScanRequest  # noqa: PLC0415 - start-up cost: as above

        def next_page(place: tuple[int, int] | None) -> tuple[list[Any], tuple[int, int] | None]:
            after, until = place or (0, 0)
            request = DictScanRequest(dict_id=self._resolve(), after=after, until=until, with_values=with_values)
            page = self._call("Scan", request, DictPage)
            items = [
                pick(
                    lambda entry=entry: key_of(self._client, entry.key),
                    lambda entry=entry: value_of(self._client, entry.value),
                )
                for entry in page.entries
            ]
            return items, None if page.is_last else (page.after, page.until)

        return Pages(next_page)


def __getattr__(name: str) -> Any:
    if name == "DictHandle":  # of 2023: what functions were given
        return Dict
    if name == "DictManager":
        from wherry._objects.managers import DictManager  # noqa: PLC0415 - start-up cost: only for those who name it

        return DictManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
