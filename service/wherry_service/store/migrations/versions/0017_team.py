"""Tokens, the audit log, and whose images are."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(40), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("environments", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("entry_id", sa.String(40), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("token_id", sa.String(40), nullable=False),
        sa.Column("token_name", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("peer", sa.Text, nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["at_ms"])
    op.create_table(
        "image_environments",
        sa.Column("image_id", sa.String(40), primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
    )


def downgrade() -> None:
    op.drop_table("image_environments")
    op.drop_table("audit")
    op.drop_table("tokens")
