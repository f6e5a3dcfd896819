"""How functions scale otherwise than they were published."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("functions", sa.Column("live", sa.LargeBinary, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("functions", "live")
