"""Workflows that users keep, with their versions."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE workflow_versions (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    kid TEXT NOT NULL,
    ciphertext BYTEA NOT NULL,
    size_bytes BIGINT NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, user_id, workflow_id, version)
)
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
