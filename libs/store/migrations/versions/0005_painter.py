"""What Painter keeps: favourites and the texts that a user typed."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FAVOURITES = """
CREATE TABLE painter_favourites (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    generation_id TEXT NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, user_id, generation_id)
)
"""
TEXTS = """
CREATE TABLE painter_texts (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    kid TEXT NOT NULL,
    ciphertext BYTEA NOT NULL,
    times BIGINT NOT NULL,
    used TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, user_id, digest)
)
"""


def upgrade() -> None:
    op.execute(FAVOURITES)
    op.execute(TEXTS)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
