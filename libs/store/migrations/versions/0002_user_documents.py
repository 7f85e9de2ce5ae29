"""What users keep for the editor: settings and saved files."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE user_documents (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    shelf TEXT NOT NULL,
    name TEXT NOT NULL,
    kid TEXT NOT NULL,
    ciphertext BYTEA NOT NULL,
    size_bytes BIGINT NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    modified TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, user_id, shelf, name)
)
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
