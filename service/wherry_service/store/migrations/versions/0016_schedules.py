"""Environments, and functions that run by the clock."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"

_NAMED_IN = ("apps", "objects", "sandboxes")


def upgrade() -> None:
    environments = op.create_table(
        "environments",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    # Until now an environment was there as soon as something was put into it.
    names = {"main"}
    for table in _NAMED_IN:
        names.update(op.get_bind().execute(sa.text(f"select distinct environment from {table}")).scalars())
    now_ms = int(time.time() * 1000)
    op.bulk_insert(environments, [{"name": name, "created_at_ms": now_ms} for name in sorted(names) if len(name) <= 64])
    op.create_table(
        "schedules",
        sa.Column("function_id", sa.String(40), primary_key=True),
        sa.Column("app_id", sa.String(40), nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.Column("anchor_ms", sa.BigInteger, nullable=False),
        sa.Column("done_ms", sa.BigInteger, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
    )
    op.create_index("schedules_of_app", "schedules", ["app_id"])
    op.create_table(
        "schedule_runs",
        sa.Column("function_id", sa.String(40), primary_key=True),
        sa.Column("tick_ms", sa.BigInteger, primary_key=True),
        sa.Column("asked", sa.String(40), primary_key=True),
        sa.Column("call_id", sa.String(40), nullable=False),
        sa.Column("queued_at_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("schedule_runs_by_time", "schedule_runs", ["function_id", "queued_at_ms"])


def downgrade() -> None:
    op.drop_table("schedule_runs")
    op.drop_table("schedules")
    op.drop_table("environments")
