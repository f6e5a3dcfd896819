"""`Dict.objects`, `Queue.objects`, `Volume.objects`, `Secret.objects`: those of an environment, by name."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from wherry._base.blocking import blocking
from wherry._base.words import with_article
from wherry._connection.client import default_client
from wherry._objects import secrets
from wherry.exception import AlreadyExistsError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wherry._connection.client import Client


class Manager:
    """Lists and deletes what has a name in an environment."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    @blocking
    def list(
        self,
        *,
        max_objects: int | None = None,
        created_before: datetime | str | None = None,
        environment_name: str = "",
        client: Client | None = None,
    ) -> list[Any]:
        """Return those that have a name, newest first; at most `max_objects`, created before a time or ISO date.

        Raises InvalidError for a time that is none.
        """
        client = client or default_client()
        found = newest(self._named(client, environment_name), max_objects, created_before)
        return [self._of_info(one, client) for one in found]

    @blocking
    def delete(
        self,
        name: str,
        *,
        allow_missing: bool = False,
        environment_name: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Delete the one of that name and all that it holds; there is no undo.

        Raises NotFoundError where there is none, unless `allow_missing`.
        """
        self._kind.delete(name, environment_name=environment_name, allow_missing=allow_missing, client=client)

    def _named(self, client: Client, environment: str) -> Iterable[Any]:
        found: Iterable[Any] = self._kind.named(client, environment)
        return found

    def _of_info(self, info: Any, client: Client) -> Any:
        return self._kind.of_info(info, client)


class ObjectManager(Manager):
    """Creates objects of one kind by name, too."""

    @blocking
    def create(
        self,
        name: str,
        *,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Create one of that name; `from_name` gives a handle on it.

        Raises AlreadyExistsError where there is one, unless `allow_existing`.
        """
        self._create(name, allow_existing, environment_name, client)

    def _create(self, name: str, allow_existing: bool, environment_name: str | None, client: Client | None) -> None:
        try:
            self._kind.from_name(name, environment_name=environment_name, client=client).hydrate()
        except NotFoundError:
            made = self._kind.from_name(name, environment_name=environment_name, create_if_missing=True, client=client)
            made.hydrate()
        else:
            if not allow_existing:
                raise AlreadyExistsError(
                    f"there is {with_article(self._kind.__name__)} {name!r} already: choose another name, or "
                    "allow_existing=True"
                )


class DictManager(ObjectManager):
    """The dicts of an environment. (reference: DictManager)"""


class QueueManager(ObjectManager):
    """The queues of an environment. (reference: QueueManager)"""


class VolumeManager(ObjectManager):
    """The volumes of an environment. (reference: VolumeManager)"""

    @blocking
    def create(
        self,
        name: str,
        *,
        version: int | None = None,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: Client | None = None,
        experimental_options: Any = None,
    ) -> None:
        """Create one of that name; `from_name` gives a handle on it. `version` makes no difference.

        Raises AlreadyExistsError where there is one, unless `allow_existing`.
        """
        if experimental_options:
            from wherry._base.elsewhere import meet  # noqa: PLC0415 - start-up cost: only for this

            meet("experimental_options", 3)
        self._create(name, allow_existing, environment_name, client)


class SecretManager(Manager):
    """The secrets of an environment. (reference: SecretManager)"""

    @blocking
    def create(
        self,
        name: str,
        env_dict: Mapping[str, str | None],
        *,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Store a secret of these values under a name; `Secret.from_name` gives a handle on it.

        Raises AlreadyExistsError where there is one, unless `allow_existing`: that one keeps its values.
        """
        try:
            self._kind.from_name(name, environment_name=environment_name, client=client).hydrate()
        except NotFoundError:
            self._kind.create_deployed(name, env_dict, environment_name=environment_name, client=client)
        else:
            if not allow_existing:
                raise AlreadyExistsError(
                    f"there is a secret {name!r} already: choose another name, or allow_existing=True, or change its "
                    f"values with Secret.from_name({name!r}).update(…)"
                )

    def _named(self, client: Client, environment: str) -> Iterable[Any]:
        return secrets.listed(client, environment)

    def _of_info(self, info: Any, client: Client) -> Any:
        return self._kind(name=info.name, environment=info.environment, secret_id=info.secret_id, client=client)


def newest(found: Iterable[Any], most: int | None, before: datetime | str | None) -> list[Any]:
    """Return what was created before a time (without a zone: here), newest first, at most so many."""
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
        raise InvalidError(f"max_objects is {most!r}: it must be a whole number, 0 or above, or None")
    kept = sorted(found, key=lambda one: one.created_at_ms, reverse=True)
    if before is not None:
        limit_ms = _moment(before).timestamp() * 1000
        kept = [one for one in kept if one.created_at_ms < limit_ms]
    return kept if most is None else kept[:most]


def _moment(given: datetime | str) -> datetime:
    try:
        found = datetime.fromisoformat(given) if isinstance(given, str) else given
        return found.astimezone()
    except (ValueError, AttributeError, OverflowError):
        raise InvalidError(
            f"created_before is {given!r}: it is a datetime or an ISO date, such as 2025-01-31"
        ) from None
