"""Failed inputs that are kept with their arguments, and why the service made an input itself."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("inputs", sa.Column("cause", sa.Integer, nullable=False, server_default="0"))
    op.add_column("inputs", sa.Column("origin", sa.String(40), nullable=False, server_default=""))
    op.create_table(
        "failed_inputs",
        sa.Column("input_id", sa.String(40), primary_key=True),
        sa.Column("call_id", sa.String(40), nullable=False),
        sa.Column("function_id", sa.String(40), nullable=False),
        sa.Column("app_id", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("queued_at_ms", sa.BigInteger, nullable=False),
        sa.Column("failed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("cause", sa.Integer, nullable=False),
        sa.Column("origin", sa.String(40), nullable=False),
        sa.Column("replayed_by", sa.String(40), nullable=False, server_default=""),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("blob_id", sa.String(40), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_index("failed_inputs_by_time", "failed_inputs", ["failed_at_ms", "input_id"])


def downgrade() -> None:
    op.drop_table("failed_inputs")
    with op.batch_alter_table("inputs") as table:
        table.drop_column("origin")
        table.drop_column("cause")
