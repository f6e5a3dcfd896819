"""Secrets, dicts and queues."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0006"


def upgrade() -> None:
    # SQLite counts only in a column of this type.
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "objects",
        sa.Column("object_id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("app_id", sa.String(40), nullable=False),
        sa.Column("client_id", sa.String(40), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("objects_by_name", "objects", ["kind", "environment", "app_id", "name"], unique=True)
    op.create_table(
        "secrets",
        sa.Column("secret_id", sa.String(40), sa.ForeignKey("objects.object_id"), primary_key=True),
        sa.Column("keys", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
        sa.Column("used_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "dict_entries",
        sa.Column("position", counted, primary_key=True, autoincrement=True),
        sa.Column("dict_id", sa.String(40), sa.ForeignKey("objects.object_id"), nullable=False),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("blob_id", sa.String(40), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("dict_entries_by_key", "dict_entries", ["dict_id", "key_hash"], unique=True)
    op.create_index("dict_entries_in_order", "dict_entries", ["dict_id", "position"])
    op.create_table(
        "queue_partitions",
        sa.Column("queue_id", sa.String(40), sa.ForeignKey("objects.object_id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "queue_items",
        sa.Column("position", counted, primary_key=True, autoincrement=False),
        sa.Column("queue_id", sa.String(40), sa.ForeignKey("objects.object_id"), nullable=False),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("blob_id", sa.String(40), nullable=False),
    )
    op.create_index("queue_items_in_order", "queue_items", ["queue_id", "partition", "position"])
    op.create_table(
        "answers",
        sa.Column("operation_id", sa.String(40), primary_key=True),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("blob_id", sa.String(40), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("answers_by_time", "answers", ["at_ms"])


def downgrade() -> None:
    for table in ("answers", "queue_items", "queue_partitions", "dict_entries", "secrets", "objects"):
        op.drop_table(table)
