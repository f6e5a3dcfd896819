"""What became of inputs, and how many did in each minute."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "call_records",
        sa.Column("input_id", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("parent_input_id", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("app_id", sa.String(40), nullable=False),
        sa.Column("app_name", sa.Text, nullable=False),
        sa.Column("function_id", sa.Text, nullable=False),
        sa.Column("function_name", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("queued_ms", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
        sa.Column("container_id", sa.Text, nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("argument_bytes", sa.BigInteger, nullable=False),
        sa.Column("result_bytes", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
        sa.Column("replay_of", sa.Text, nullable=False),
        sa.Column("replayed_by", sa.Text, nullable=False),
    )
    op.create_index("call_records_in_order", "call_records", ["environment", "queued_ms"])
    op.create_index("call_records_of_function", "call_records", ["function_id", "queued_ms"])
    op.create_index("call_records_of_call", "call_records", ["call_id"])
    op.create_index("call_records_by_end", "call_records", ["ended_ms"])
    counted = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "call_minutes",
        sa.Column("number", counted, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("span_ms", sa.BigInteger, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("app_id", sa.String(40), nullable=False),
        sa.Column("app_name", sa.Text, nullable=False),
        sa.Column("function_id", sa.Text, nullable=False),
        sa.Column("function_name", sa.Text, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("backlog", sa.Integer, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("containers", sa.Integer, nullable=False),
    )
    op.create_index("call_minutes_in_order", "call_minutes", ["environment", "at_ms"])
    op.create_index("call_minutes_by_time", "call_minutes", ["span_ms", "at_ms"])


def downgrade() -> None:
    op.drop_table("call_minutes")
    op.drop_table("call_records")
