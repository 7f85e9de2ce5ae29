"""Where the outputs of nodes belong that nodes made while they were executed."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE prompts ADD COLUMN places JSONB NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
