"""Asks the service about secrets."""

from typing import TYPE_CHECKING

from wherry._connection.client import Client, default_client
from wherry.context import check_local, is_local
from wherry_proto.messages import (
    SecretCreateRequest,
    SecretDeleteRequest,
    SecretInfo,
    SecretListRequest,
    SecretListResponse,
    SecretLookupRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.secret import Secret


def create(
    client: Client | None, name: str, environment: str, values: "Mapping[str, str]", replace: bool = False
) -> SecretInfo:
    """Store a secret; without a name, one that goes when nothing uses it."""
    client = client or default_client()
    request = SecretCreateRequest(
        name=name, environment=environment or client.environment, values=dict(values), replace=replace
    )
    return client.call("Secrets.Create", request, SecretInfo)


def delete(client: Client | None, name: str, environment: str) -> SecretInfo:
    """Delete the secret of that name."""
    client = client or default_client()
    request = SecretDeleteRequest(name=name, environment=environment or client.environment)
    return client.call("Secrets.Delete", request, SecretInfo)


def listed(client: Client | None, environment: str) -> list[SecretInfo]:
    """Return the secrets of an environment that have a name."""
    client = client or default_client()
    request = SecretListRequest(environment=environment or client.environment)
    return client.call("Secrets.List", request, SecretListResponse).secrets


def info_of(client: Client | None, secret_id: str) -> SecretInfo:
    """Return what there is to know of a secret."""
    return (client or default_client()).call("Secrets.Lookup", SecretLookupRequest(secret_id=secret_id), SecretInfo)


def resolve(client: Client | None, secret: "Secret", app_id: str = "", environment: str = "") -> str:
    """Return a secret's id; store it first, where it is made of values.

    Its environment is the one it names, else that of the app, else the one given, else the client's.
    """
    client = client or default_client()
    environment = secret._environment or ("" if app_id else environment or client.environment)
    if secret._values is not None:
        request = SecretCreateRequest(environment=environment, values=dict(secret._values), app_id=app_id)
        return client.call("Secrets.Create", request, SecretInfo).secret_id
    lookup = SecretLookupRequest(
        name=secret._name, environment=environment, required_keys=list(secret._required), app_id=app_id
    )
    return client.call("Secrets.Lookup", lookup, SecretInfo).secret_id


def secret_ids(
    client: Client, wanted: "list[tuple[Secret, ...]]", app_id: str = "", environment: str = ""
) -> list[list[str]]:
    """Return the ids of secrets, row by row as they are wanted; each is asked for once.

    A name without an environment means the app's, else that of the environment given, else of the client's.

    Asked for anew each time an app is brought up: a secret may have been deleted and made again meanwhile.
    """
    known: dict[int, str] = {}
    for secret in {id(secret): secret for secrets in wanted for secret in secrets}.values():
        if not secret._id:
            check_local("giving a function a secret that it did not have")
        if (secret._values is not None or secret._name) and is_local():
            secret._id = resolve(client, secret, app_id, environment)
        known[id(secret)] = secret._id
    return [[known[id(secret)] for secret in secrets] for secrets in wanted]
