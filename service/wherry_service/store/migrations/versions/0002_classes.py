"""Methods of classes, and variants of functions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("functions", sa.Column("base_id", sa.String(40), nullable=False, server_default=""))
    op.add_column("functions", sa.Column("bind", sa.LargeBinary, nullable=False, server_default=""))
    op.add_column("inputs", sa.Column("method", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("inputs", "method")
    op.drop_column("functions", "bind")
    op.drop_column("functions", "base_id")
