"""What a client missed is found by its name and by when its prompts ended."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEX = """
CREATE INDEX prompts_of_client ON prompts (tenant, user_id, client_id, ended_seq)
WHERE state = 'ended' AND client_id <> ''
"""


def upgrade() -> None:
    op.execute(INDEX)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
