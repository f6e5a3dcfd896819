"""Environments: apps and objects kept apart. `Environment.objects` creates, lists and deletes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry._base.blocking import blocking
from wherry._base.elsewhere import meet, refusal
from wherry._base.misuse import near
from wherry._base.object import Object
from wherry._connection.client import default_client
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import (
    AppListRequest,
    AppListResponse,
    AppState,
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentInfo,
    EnvironmentListRequest,
    EnvironmentListResponse,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry.app import App

__all__ = ["Environment", "EnvironmentAppsManager", "EnvironmentManager"]


class EnvironmentManager:
    """The environments of the service. (reference: EnvironmentManager)"""

    @blocking
    def create(
        self,
        name: str,
        *,
        restricted: bool = False,
        default_role: str | None = None,
        experimental_options: Any = None,
        client: Client | None = None,
    ) -> None:
        """Create an environment, if it does not exist.

        Raises InvalidError for `restricted` and `default_role`: tokens say who may do what.
        """
        if restricted or default_role:
            raise refusal("restricted" if restricted else "default_role", "modal environment create --restricted")
        if experimental_options:
            meet("experimental_options", 3)
        (client or default_client()).call("Environments.Create", EnvironmentCreateRequest(name=name), EnvironmentInfo)

    @blocking
    def list(self, *, client: Client | None = None) -> list[Environment]:
        """Return the environments that the token may see."""
        client = client or default_client()
        return [Environment(one.name, client) for one in _listed(client)]

    @blocking
    def delete(self, name: str, *, client: Client | None = None) -> None:
        """Delete an environment with all that is in it: secrets, dicts, queues, volumes. There is no undo.

        Raises NotFoundError where there is none, InvalidError where apps or sandboxes run in it.
        """
        request = EnvironmentDeleteRequest(name=name)
        (client or default_client()).call("Environments.Delete", request, EnvironmentInfo)


class EnvironmentAppsManager:
    """The apps of an environment. (reference: EnvironmentAppsManager)"""

    def __init__(self, name: str, client: Client) -> None:
        self._name = name
        self._client = client

    @blocking
    def list(self) -> list[App]:
        """Return the deployed apps, as `App.lookup` does, the latest first."""
        from wherry.app import App  # noqa: PLC0415 - start-up cost: loaded with wherry

        found = self._client.call("Apps.List", AppListRequest(environment=self._name), AppListResponse).apps
        names = dict.fromkeys(app.name for app in found if app.state == AppState.DEPLOYED)
        return [App.lookup(name, self._client, self._name) for name in names]


class Environment(Object):
    """A handle on an environment. (reference: Environment)"""

    objects = EnvironmentManager()

    def __init__(self, name: str, client: Client | None = None, create: bool = False) -> None:
        self._name = name
        self._known_client = client
        self._create = create
        self._is_known = False

    @staticmethod
    def from_name(name: str, *, create_if_missing: bool = False, client: Client | None = None) -> Environment:
        """Return a handle on the environment of that name; it is looked up when first used.

        Raises NotFoundError then where there is none, unless `create_if_missing`. (reference: Environment.from_name)
        """
        if not isinstance(name, str) or not name:
            raise InvalidError(f"Environment.from_name got {name!r}: a name is a string")
        return Environment(name, client, create_if_missing)

    @staticmethod
    def from_context(*, client: Client | None = None) -> Environment:
        """Return the environment in use: WHERRY_ENVIRONMENT's or the profile's, in a container the container's.

        (reference: Environment.from_context)
        """
        import os  # noqa: PLC0415 - it is loaded

        name = (client or default_client()).environment or os.environ.get("WHERRY_ENVIRONMENT", "")
        return Environment(name or "main", client)

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def object_id(self) -> str:
        """The name: environments have no other id."""
        self.__wherry_find__(None)
        return self._name

    @property
    def apps(self) -> EnvironmentAppsManager:
        """The apps in it."""
        return EnvironmentAppsManager(self._name, self._known_client or default_client())

    @property
    def billing(self) -> Any:
        """Raise InvalidError: nobody sends a bill."""
        raise refusal("billing", "modal.Environment.billing")

    @property
    def members(self) -> Any:
        """Raise InvalidError: there are no accounts."""
        raise refusal("members", "modal.Environment.members")

    @property
    def roles(self) -> Any:
        """Raise InvalidError: there are no accounts."""
        raise refusal("roles", "modal.Environment.roles")

    def __wherry_find__(self, client: Any) -> None:
        if client is not None:
            self._known_client = client
        if self._is_known:
            return
        used = self._known_client or default_client()
        known = [one.name for one in _listed(used)]
        if self._name not in known:
            if not self._create:
                raise NotFoundError(f"there is no environment {self._name!r}{near(self._name, known)}")
            self.objects.create(self._name, client=used)
        self._is_known = True

    def __wherry_known__(self) -> bool:
        return self._is_known

    def __repr__(self) -> str:
        return f"Environment({self._name!r})"


# As the reference had them before there was a class


def ensure_env(environment_name: str | None = None) -> str:
    """Return that name, else the one of the environment in use. (reference: ensure_env)"""
    return environment_name or Environment.from_context().name


create_environment = Environment.objects.create
delete_environment = Environment.objects.delete
list_environments = Environment.objects.list


def _listed(client: Client) -> list[EnvironmentInfo]:
    return client.call("Environments.List", EnvironmentListRequest(), EnvironmentListResponse).environments
