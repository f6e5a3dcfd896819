"""Apps, their functions, and the inputs of durable calls."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "apps",
        sa.Column("app_id", sa.String(40), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("client_id", sa.String(40), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("stopped_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "functions",
        sa.Column("function_id", sa.String(40), primary_key=True),
        sa.Column("app_id", sa.String(40), sa.ForeignKey("apps.app_id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
    )
    op.create_index("functions_of_app", "functions", ["app_id"])
    op.create_table(
        "inputs",
        sa.Column("input_id", sa.String(40), primary_key=True),
        sa.Column("call_id", sa.String(40), nullable=False),
        sa.Column("function_id", sa.String(40), nullable=False),
        sa.Column("client_id", sa.String(40), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger, nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
    )
    op.create_index("inputs_of_call", "inputs", ["call_id"])
    op.create_index("inputs_by_finish", "inputs", ["finished_at_ms"])


def downgrade() -> None:
    op.drop_table("inputs")
    op.drop_table("functions")
    op.drop_table("apps")
