"""Answers of web endpoints that are fetched later."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "web_results",
        sa.Column("call_id", sa.String(40), primary_key=True),
        sa.Column("function_id", sa.String(40), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("blob_id", sa.String(40), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("web_results")
