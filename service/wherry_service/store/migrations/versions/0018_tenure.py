"""Which service works on a database that several could reach."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    tenure = op.create_table(
        "tenure",
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
    )
    op.bulk_insert(tenure, [{"epoch": 0, "number": 0, "holder": ""}])


def downgrade() -> None:
    op.drop_table("tenure")
