"""Versions of deployed apps."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("deployment_id", sa.String(40), primary_key=True),
        sa.Column("app_id", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("secret_ids", sa.Text, nullable=False),
        sa.Column("image_ids", sa.Text, nullable=False),
    )
    op.create_index("deployments_by_version", "deployments", ["app_id", "version"], unique=True)
    op.add_column("functions", sa.Column("version", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    # A function as it was in an earlier version has no meaning without its version.
    op.execute(sa.text("DELETE FROM functions WHERE version > 0"))
    with op.batch_alter_table("functions") as table:
        table.drop_column("version")
    op.drop_table("deployments")
