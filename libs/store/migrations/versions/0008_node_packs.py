"""Which packages of node types each worker was given."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE workers ADD COLUMN packs JSONB NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE workers ADD COLUMN schemas TEXT NOT NULL DEFAULT ''")


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
