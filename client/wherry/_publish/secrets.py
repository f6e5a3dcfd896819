"""The ids of secrets that are wanted, each asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry.secret import Secret


def secret_ids(
    client: Client, wanted: Iterable[Sequence[Secret]], app_id: str = "", environment: str = ""
) -> list[list[str]]:
    """Return the ids of secrets, row by row as they are wanted. Raises NotFoundError.

    A name without an environment means the app's, else that of the environment given, else of the client's.
    """
    rows = [tuple(secrets) for secrets in wanted]
    distinct = {id(secret): secret for secrets in rows for secret in secrets}
    known = {own: secret.resolve_for(client, app_id, environment) for own, secret in distinct.items()}
    return [[known[id(secret)] for secret in secrets] for secrets in rows]
