"""What was asked lately and how it was answered, so that asking again does nothing twice."""

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import answers

_BEGIN = sa.text(
    "insert into answers (operation_id, answer, blob_id, at_ms) values (:operation_id, :empty, '', :at_ms) "
    "on conflict (operation_id) do nothing"
).bindparams(sa.bindparam("empty", b"", sa.LargeBinary))
# Seconds for which an answer is kept: longer than any client tries to reach a service that has gone.
KEEP_ANSWERS_S = 600.0


def answer_in(connection: sa.Connection, operation_id: str) -> bytes | None:
    """Return how an operation was answered, None if it was not."""
    query = sa.select(answers.c.answer).where(answers.c.operation_id == operation_id)
    found: bytes | None = connection.execute(query).scalar()
    return found


def begin_in(connection: sa.Connection, operation_id: str, now_ms: int) -> bool:
    """Note within an operation's transaction that it is done; return False where it was before.

    Its answer, where it has one to keep, follows by `keep_in`.
    """
    row = {"operation_id": operation_id, "at_ms": now_ms}
    return connection.execute(_BEGIN, row).rowcount > 0


def keep_in(connection: sa.Connection, operation_id: str, answer: bytes, blob_id: str = "") -> None:
    """Keep how an operation is answered; the answer may name a blob, which stays as long."""
    own = answers.c.operation_id == operation_id
    connection.execute(sa.update(answers).where(own).values(answer=answer, blob_id=blob_id))


async def forget(database: Database, now_ms: int) -> list[str]:
    """Forget old answers; return the blobs that are nobody's now."""
    old = answers.c.at_ms < now_ms - int(KEEP_ANSWERS_S * 1000)

    def work(connection: sa.Connection) -> list[str]:
        blobs = connection.execute(sa.select(answers.c.blob_id).where(old, answers.c.blob_id != "")).scalars().all()
        connection.execute(sa.delete(answers).where(old))
        return list(blobs)

    return await database.write(work)
