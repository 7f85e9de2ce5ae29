"""Lists of the prompts that were made from one document of an editor."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMN = "ALTER TABLE prompts ADD COLUMN workflow_id TEXT NOT NULL DEFAULT ''"
LIST = """
CREATE INDEX prompts_created ON prompts (tenant, user_id, submitted_at, number)
INCLUDE (prompt_id, outcome, started_at, ended_at, workflow_id)
WHERE state = 'ended' AND NOT hidden AND NOT (outcome = 'cancelled' AND attempt = 0)
"""


def upgrade() -> None:
    op.execute(COLUMN)
    # The list is read from its index alone, so that what it shows has to be in there.
    op.execute("DROP INDEX prompts_created")
    op.execute(LIST)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
