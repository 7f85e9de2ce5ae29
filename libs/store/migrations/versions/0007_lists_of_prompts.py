"""Lists of finished prompts and of their files, in their order."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = (
    """
CREATE INDEX prompts_created ON prompts (tenant, user_id, submitted_at, number)
INCLUDE (prompt_id, outcome, started_at, ended_at)
WHERE state = 'ended' AND NOT hidden AND NOT (outcome = 'cancelled' AND attempt = 0)
""",
    """
CREATE INDEX outputs_newest ON outputs (tenant, first_seq) WHERE state = 'released'
""",
)


def upgrade() -> None:
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
