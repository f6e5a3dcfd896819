"""Call graphs of durable calls."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "call_graphs",
        sa.Column("call_id", sa.String(40), primary_key=True),
        sa.Column("graph", sa.LargeBinary, nullable=False),
        sa.Column("written_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("call_graphs_by_time", "call_graphs", ["written_at_ms"])


def downgrade() -> None:
    op.drop_table("call_graphs")
