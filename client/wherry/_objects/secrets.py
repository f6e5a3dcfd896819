"""Asks the service about secrets."""

from typing import TYPE_CHECKING

from wherry._connection.client import Client, default_client
from wherry._objects import infos
from wherry.exception import InvalidError
from wherry_proto.messages import (
    SecretCreateRequest,
    SecretDeleteRequest,
    SecretInfo,
    SecretListRequest,
    SecretListResponse,
    SecretLookupRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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


def info_of(client: Client | None, secret_id: str) -> infos.SecretInfo:
    """Return what there is to know of a secret."""
    found = _looked_up(client or default_client(), secret_id)
    return infos.SecretInfo(
        name=found.name or None,
        environment_name=found.environment,
        created_at=infos.time_of(found.created_at_ms),
        created_by=None,
        last_used=infos.time_of(found.used_at_ms) if found.used_at_ms else None,
        secret_id=found.secret_id,
        keys=tuple(found.keys),
        updated_at=infos.time_of(found.updated_at_ms) if found.updated_at_ms else None,
    )


def update(client: Client | None, secret_id: str, values: "Mapping[str, str]") -> None:
    """Add values to a secret that has a name, or replace those of the same names."""
    client = client or default_client()
    found = _looked_up(client, secret_id)
    if not found.name:
        raise InvalidError("a secret without a name can't be changed: make another one with Secret.from_dict")
    request = SecretCreateRequest(name=found.name, environment=found.environment, values=dict(values), merge=True)
    client.call("Secrets.Create", request, SecretInfo)


def _looked_up(client: Client, secret_id: str) -> SecretInfo:
    return client.call("Secrets.Lookup", SecretLookupRequest(secret_id=secret_id), SecretInfo)


def id_of(
    client: Client | None,
    *,
    name: str,
    environment: str,
    required_keys: "Sequence[str]",
    values: "Mapping[str, str] | None",
    app_id: str,
) -> str:
    """Return a secret's id; store it first, where it is made of values. Raises NotFoundError for a name without one."""
    client = client or default_client()
    if values is not None:
        request = SecretCreateRequest(environment=environment, values=dict(values), app_id=app_id)
        return client.call("Secrets.Create", request, SecretInfo).secret_id
    lookup = SecretLookupRequest(name=name, environment=environment, required_keys=list(required_keys), app_id=app_id)
    return client.call("Secrets.Lookup", lookup, SecretInfo).secret_id
