"""Secrets: what functions get as environment variables and nobody else gets to see."""

from __future__ import annotations

from wherry._base.blocking import blocking, blocking_classmethod
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.object import Object, given
from wherry._base.words import with_article
from wherry._objects.managed import Managed
from wherry.context import check_local, is_local
from wherry.exception import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._connection.client import Client
    from wherry._objects.infos import SecretInfo
    from wherry._objects.managers import SecretManager


class Secret(Object):
    """Environment variables for functions; encrypted where the service keeps them. (reference: Secret)

    One with a name is kept until it is deleted, and made with `wherry secret create` or `Secret.create_deployed`. One
    that is made of values here is deleted when no app uses it. No method returns the values.
    """

    objects: Managed[SecretManager] = Managed("SecretManager")

    __slots__ = ("_client", "_environment", "_id", "_name", "_required", "_values")

    def __init__(
        self,
        env_dict: Mapping[str, str | None] | None = None,
        *,
        name: str = "",
        environment: str = "",
        required_keys: Sequence[str] = (),
        values: Mapping[str, str] | None = None,
        secret_id: str = "",
        client: Client | None = None,
    ) -> None:
        self._name = name
        self._environment = environment
        self._required = tuple(required_keys)
        # The spelling of early 2023: `Secret({"KEY": "value"})`.
        self._values = _strings("Secret", env_dict) if env_dict is not None else values
        self._id = secret_id
        self._client = client

    # Making handles

    @classmethod
    def from_dict(cls, env_dict: Mapping[str, str | None] = {}) -> Secret:
        """Return a secret of these values; those that are None are left out. (reference: Secret.from_dict)

        Raises InvalidError where a name or value is no string.
        """
        if not hasattr(env_dict, "items"):
            raise InvalidError(f"Secret.from_dict got {type(env_dict).__name__}: it takes a dict of strings")
        return Secret(values=_strings("Secret.from_dict", env_dict))

    @classmethod
    def from_local_environ(cls, env_keys: Sequence[str]) -> Secret:
        """Return a secret of environment variables of this process; raise InvalidError where one is not set.

        (reference: Secret.from_local_environ)
        """
        if isinstance(env_keys, str):
            raise InvalidError(f"Secret.from_local_environ takes a list of names: write [{env_keys!r}]")
        if not is_local():
            return Secret(values={})  # where the module is imported again: its values are there as variables
        import os  # noqa: PLC0415 - start-up cost: loaded with the interpreter

        missing = [key for key in env_keys if key not in os.environ]
        if missing:
            raise InvalidError(f"Secret.from_local_environ: {', '.join(missing)} is not set in this environment")
        return Secret(values={key: os.environ[key] for key in env_keys})

    @classmethod
    def from_dotenv(cls, path: Any = None, *, filename: str = ".env", client: Client | None = None) -> Secret:
        """Return a secret of the values in a .env file.

        `path` is a file in the directory where the search begins, or that directory itself (None: the working
        directory); `filename` is looked for there and in the directories above. `path` may also be a .env file.
        Raises InvalidError where there is none. (reference: Secret.from_dotenv)
        """
        if not is_local():
            return Secret(values={})  # as above
        from wherry._objects.dotenv import read_near  # noqa: PLC0415 - start-up cost: loads a parser

        return Secret(values=read_near(path, filename), client=client)

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        required_keys: Sequence[str] = (),
        namespace: Any = None,
        client: Client | None = None,
    ) -> Secret:
        """Return the secret of that name; looked for when an app that uses it runs.

        Raises NotFoundError then where there is none, or where it lacks one of `required_keys`.
        (reference: Secret.from_name)
        """
        if not isinstance(name, str) or not name:
            raise InvalidError(f"Secret.from_name got {name!r}: a name is a string")
        return Secret(name=name, environment=environment_name or "", required_keys=required_keys, client=client)

    @blocking_classmethod
    def lookup(
        cls,
        name: str,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        required_keys: Sequence[str] = (),
    ) -> Secret:
        """Like `from_name`, but looked up at once. (reference: Secret.lookup)"""
        secret: Secret = Secret.from_name(
            name, environment_name=environment_name, required_keys=required_keys, client=client
        )
        secret._resolve()
        return secret

    @blocking_classmethod
    def create_deployed(
        cls,
        deployment_name: str,
        env_dict: Mapping[str, str | None],
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        overwrite: bool = False,
    ) -> str:
        """Store a secret under a name and return its id, "st-…". (reference: Secret.create_deployed)

        Raises AlreadyExistsError where there is one with other values, unless `overwrite`.
        """
        from wherry._objects.secrets import create  # noqa: PLC0415 - start-up cost: loads the messages

        values = _strings("Secret.create_deployed", env_dict)
        if not deployment_name:
            raise InvalidError("a secret that is deployed has a name: Secret.from_dict makes one without")
        return create(client, deployment_name, environment_name or "", values, overwrite).secret_id

    create = create_deployed

    @blocking_classmethod
    def delete(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        allow_missing: bool = False,
        client: Client | None = None,
    ) -> None:
        """Delete the secret of that name; raise NotFoundError where there is none, unless `allow_missing`.

        (reference: Secret.objects.delete)
        """
        from wherry._objects.secrets import delete  # noqa: PLC0415 - start-up cost: as above

        try:
            delete(client, name, environment_name or "")
        except NotFoundError:
            if not allow_missing:
                raise

    @classmethod
    def from_id(
        cls, secret_id: str | None = None, client: Client | None = None, *, object_id: str | None = None
    ) -> Secret:
        """Return the secret of that id ("st-…"); raise InvalidError where it is no such id.

        `object_id` is the older name of `secret_id`. (reference: Secret.from_id)
        """
        from wherry._base.ids import check_id  # noqa: PLC0415 - start-up cost: not needed to import wherry

        found = given("Secret.from_id", secret_id=secret_id, object_id=object_id)
        return Secret(secret_id=check_id(found, "st", "secret"), client=client)

    # What it is

    @property
    def object_id(self) -> str | None:
        """The id, "st-…"; None before the first use."""
        return self._id or None

    @property
    def name(self) -> str | None:
        """The name; None if it has none."""
        return self._name or None

    @blocking
    def info(self, *, refresh: bool = False) -> SecretInfo:
        """Return the secret's name and environment, the names of its values, and when it was made, changed and used.

        It is fetched each time: `refresh` makes no difference. (reference: Secret.info)
        """
        from wherry._objects.secrets import info_of  # noqa: PLC0415 - start-up cost: loads the messages

        check_local("looking at a secret")
        return info_of(self._client, self._resolve())

    def values_here(self) -> Mapping[str, str] | None:
        """Inside wherry: return the values of one that was made of values in this process; None for all others."""
        return self._values

    @blocking
    def update(self, env_dict: Mapping[str, str]) -> None:
        """Add values to the secret, or replace those of the same names; the others stay.

        New containers get them. Raises InvalidError for a secret without a name. (reference: Secret.update)
        """
        from wherry._objects.secrets import update  # noqa: PLC0415 - start-up cost: as above

        check_local("changing a secret")
        update(self._client, self._resolve(), _strings("Secret.update", env_dict))

    def resolve_for(self, client: Client, app_id: str = "", environment: str = "") -> str:
        """Inside wherry: return the id for what is brought up now.

        Its environment is the one it names, else that of the app, else the one given, else the client's. Asked for
        anew each time: it may have been deleted and made again meanwhile. Raises NotFoundError.
        """
        if not self._id and not self._name:
            check_local("giving a function a secret that it did not have")
        if (self._values is not None or self._name) and (is_local() or not self._id):
            self._id = self._asked_for(client, app_id, environment)
        return self._id

    def __wherry_find__(self, client: Client | None) -> None:
        if client is not None:
            self._client = client
        is_known = bool(self._id)
        secret_id = self._resolve()
        if is_known:
            from wherry._objects.secrets import info_of  # noqa: PLC0415 - start-up cost: loads the messages

            info_of(self._client, secret_id)

    def __wherry_known__(self) -> bool:
        return bool(self._id)

    @property
    def unsent(self) -> Mapping[str, str] | None:
        """Inside wherry: the values of one that was made in a container, which can store none; else None."""
        return self._values if not self._id and not is_local() else None

    def _resolve(self, client: Client | None = None) -> str:
        """Return its id; where it is made of values, store them first."""
        if not self._id:
            check_local("using a secret")
            self._id = self._asked_for(client or self._client, "", "")
        return self._id

    def _asked_for(self, client: Client | None, app_id: str, environment: str) -> str:
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session
        from wherry._objects.secrets import id_of  # noqa: PLC0415 - start-up cost: loads the messages

        client = client or default_client()
        return id_of(
            client,
            name=self._name,
            environment=self._environment or ("" if app_id else environment or client.environment),
            required_keys=self._required,
            values=self._values,
            app_id=app_id,
        )

    def __repr__(self) -> str:
        if self._name:
            return f"Secret.from_name({self._name!r})"
        if self._id:
            return f"Secret.from_id({self._id!r})"
        # Never its values.
        return f"Secret.from_dict({{{', '.join(f'{key!r}: …' for key in self._values or ())}}})"

    def __reduce__(self) -> Any:
        # It travels as its name or id: its values stay where they are.
        if self._name:
            return _named, (self._name, self._environment, self._required, self._id)
        return Secret.from_id, (self._resolve(),)


def _named(name: str, environment: str, required_keys: tuple[str, ...], secret_id: str) -> Secret:
    return Secret(name=name, environment=environment, required_keys=required_keys, secret_id=secret_id)


def secrets_of(name: str, value: Any) -> tuple[Secret, ...]:
    """Return the secrets that a parameter names; raise InvalidError for anything else."""
    items = [value] if isinstance(value, Secret) else value
    if isinstance(items, (str, dict)) or not hasattr(items, "__iter__"):
        items = None
    found = tuple(items or ())
    if items is None or not all(isinstance(item, Secret) for item in found):
        raise InvalidError(
            f'{name} is {_shown(value)}: it takes secrets, as in {name}=[wherry.Secret.from_name("my-secret")]'
        )
    return found


def _shown(value: Any) -> str:
    """Name what was given without showing it: it may be what should be secret."""
    if isinstance(value, (list, tuple)):
        return f"a list of {', '.join(sorted({type(item).__name__ for item in value}))}"
    return with_article(type(value).__name__)


def _strings(what: str, values: Mapping[str, str | None]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if value is None:
            continue
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidError(
                f"{what}: {key!r} is {with_article(type(value).__name__)}: names and values must be strings"
            )
        found[key] = value
    return found


def __getattr__(name: str) -> Any:
    if name == "SecretManager":
        from wherry._objects.managers import SecretManager  # noqa: PLC0415 - start-up cost: only for those who name it

        return SecretManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
