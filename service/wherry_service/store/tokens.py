"""Tokens and the audit log on disk."""

import time
from collections.abc import Sequence

import sqlalchemy as sa

from wherry_proto.messages import AuditEntry, TokenInfo
from wherry_service.ids import new_id
from wherry_service.store.database import Database
from wherry_service.store.schema import audit, tokens

# Seconds for which entries of the audit log are kept.
KEEP_AUDIT_S = 365 * 24 * 3600.0


class TokenStore:
    """Reads and writes the `tokens` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: TokenInfo, secret_hash: bytes) -> None:
        values = {
            "token_id": token.token_id,
            "name": token.name,
            "secret_hash": secret_hash,
            "scopes": ",".join(token.scopes),
            "environments": ",".join(token.environments),
            "created_at_ms": token.created_at_ms,
            "revoked_at_ms": 0,
        }
        await self._database.write(lambda connection: connection.execute(sa.insert(tokens), values).rowcount)

    async def revoke(self, token_id: str, at_ms: int) -> None:
        own = (tokens.c.token_id == token_id) & (tokens.c.revoked_at_ms == 0)
        statement = sa.update(tokens).where(own).values(revoked_at_ms=at_ms)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def set_environments(self, token_id: str, environments: Sequence[str]) -> None:
        """Have a token reach these."""
        statement = sa.update(tokens).where(tokens.c.token_id == token_id).values(environments=",".join(environments))
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def all(self) -> list[tuple[TokenInfo, bytes]]:
        """Return every token with the hash of its secret, the oldest first."""
        query = sa.select(tokens).order_by(tokens.c.created_at_ms, tokens.c.token_id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            (
                TokenInfo(
                    token_id=row.token_id,
                    name=row.name,
                    scopes=row.scopes.split(","),
                    environments=row.environments.split(","),
                    created_at_ms=row.created_at_ms,
                    revoked_at_ms=row.revoked_at_ms,
                ),
                row.secret_hash,
            )
            for row in rows
        ]


class AuditStore:
    """Reads and writes the `audit` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entry: AuditEntry) -> None:
        values = {column.name: getattr(entry, column.name) for column in audit.c if column.name != "entry_id"}
        values["entry_id"] = new_id("au")
        await self._database.write(lambda connection: connection.execute(sa.insert(audit), values).rowcount)

    async def latest(self, limit: int) -> list[AuditEntry]:
        """Return the latest entries, the newest first."""
        query = sa.select(audit).order_by(audit.c.at_ms.desc(), audit.c.entry_id.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            AuditEntry(
                at_ms=row.at_ms,
                token_id=row.token_id,
                token_name=row.token_name,
                action=row.action,
                environment=row.environment,
                target=row.target,
                outcome=row.outcome,
                peer=row.peer,
            )
            for row in rows
        ]

    async def expire(self) -> None:
        """Forget old entries."""
        old = audit.c.at_ms < int((time.time() - KEEP_AUDIT_S) * 1000)
        await self._database.write(lambda connection: connection.execute(sa.delete(audit).where(old)).rowcount)
