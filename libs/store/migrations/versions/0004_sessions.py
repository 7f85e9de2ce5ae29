"""Browsers that were logged in with an API key."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE sessions (
    digest BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    expires TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (digest),
    FOREIGN KEY (key_id) REFERENCES api_keys (key_id)
);
CREATE INDEX ix_sessions_key_id ON sessions (key_id);
"""


def upgrade() -> None:
    for statement in TABLE.split(";"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")
