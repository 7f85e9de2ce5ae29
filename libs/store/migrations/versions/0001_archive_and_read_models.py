"""The archive, the read models, and what services keep beside them."""

from alembic import op

from libs.core.errors import Misconfigured

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE event_log (
    stream TEXT NOT NULL,
    seq BIGINT NOT NULL,
    event_id TEXT,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    occurred TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded TIMESTAMP WITH TIME ZONE NOT NULL,
    payload BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (stream, seq),
    UNIQUE (event_id)
);
CREATE INDEX ix_event_log_correlation_id ON event_log (correlation_id);
CREATE TABLE checkpoint (
    name TEXT NOT NULL,
    stream TEXT NOT NULL,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    stream_created TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE prompts (
    tenant TEXT NOT NULL,
    prompt_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    account TEXT NOT NULL,
    tier TEXT NOT NULL,
    client_id TEXT NOT NULL,
    dialect TEXT NOT NULL,
    source TEXT NOT NULL,
    keyed BOOLEAN NOT NULL,
    body_mac TEXT NOT NULL,
    front BOOLEAN NOT NULL,
    priority DOUBLE PRECISION,
    preview_method TEXT,
    workflow JSONB NOT NULL,
    state TEXT NOT NULL,
    number BIGINT,
    submitted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    queued_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    attempt INTEGER NOT NULL,
    worker_id TEXT,
    lease_expires_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    reason TEXT NOT NULL,
    failure JSONB,
    failed_node_id TEXT,
    failed_node_type TEXT,
    exception_type TEXT,
    executed JSONB NOT NULL,
    cached JSONB NOT NULL,
    node_ui JSONB NOT NULL,
    refusal_status INTEGER,
    refusal_code TEXT,
    refusal_message TEXT,
    refusal_detail JSONB,
    retry_after_seconds INTEGER,
    node_errors JSONB,
    output_nodes JSONB NOT NULL,
    needs JSONB NOT NULL,
    vram_mib INTEGER NOT NULL,
    estimate JSONB,
    clearance TEXT,
    labels JSONB NOT NULL,
    compute_ms BIGINT,
    peak_vram_mib INTEGER,
    fingerprint JSONB NOT NULL,
    held_micros BIGINT,
    captured_micros BIGINT,
    cancel_requested BOOLEAN NOT NULL,
    hidden BOOLEAN NOT NULL,
    messages JSONB NOT NULL,
    ended_seq BIGINT,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, prompt_id)
);
CREATE INDEX prompts_history ON prompts (tenant, user_id, ended_seq)
    WHERE state = 'ended' AND NOT hidden
    AND NOT (outcome = 'cancelled' AND attempt = 0);
CREATE INDEX prompts_number ON prompts (number);
CREATE INDEX prompts_open ON prompts (first_seq)
    WHERE state IN ('submitted', 'queued', 'running', 'withdrawn');
CREATE TABLE outputs (
    tenant TEXT NOT NULL,
    prompt_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    index INTEGER NOT NULL,
    kind TEXT NOT NULL,
    folder TEXT NOT NULL,
    subfolder TEXT NOT NULL,
    filename TEXT NOT NULL,
    quarantined TEXT NOT NULL,
    artifact TEXT,
    sha256 TEXT NOT NULL,
    mime TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    state TEXT NOT NULL,
    category TEXT,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, prompt_id, attempt, node_id, index)
);
CREATE INDEX outputs_name ON outputs (tenant, filename, subfolder, folder);
CREATE TABLE ledger_entries (
    event_id TEXT NOT NULL,
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    prompt_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (event_id, account, kind)
);
CREATE INDEX ledger_entries_account ON ledger_entries (tenant, account);
CREATE TABLE balances (
    tenant TEXT NOT NULL,
    account TEXT NOT NULL,
    balance BIGINT NOT NULL,
    held BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);
CREATE TABLE holds (
    tenant TEXT NOT NULL,
    account TEXT NOT NULL,
    prompt_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    images INTEGER NOT NULL,
    day TEXT NOT NULL,
    state TEXT NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, prompt_id)
);
CREATE INDEX holds_day ON holds (tenant, account, day);
CREATE INDEX holds_newest ON holds (tenant, account, last_seq);
CREATE INDEX holds_open ON holds (tenant, account) WHERE state = 'held';
CREATE TABLE grants (
    tenant TEXT NOT NULL,
    account TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    amount BIGINT NOT NULL,
    reason TEXT NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, grant_id)
);
CREATE TABLE workers (
    tenant TEXT NOT NULL,
    slot TEXT NOT NULL,
    worker_id TEXT NOT NULL,
    device TEXT NOT NULL,
    backend TEXT NOT NULL,
    vram_mib INTEGER NOT NULL,
    software JSONB NOT NULL,
    weights JSONB NOT NULL,
    state TEXT NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, slot)
);
CREATE TABLE uploads (
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    subfolder TEXT NOT NULL,
    name TEXT NOT NULL,
    artifact TEXT NOT NULL,
    kid TEXT NOT NULL,
    digest TEXT NOT NULL,
    mime TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant, user_id, folder, subfolder, name)
);
CREATE TABLE api_keys (
    key_id TEXT NOT NULL,
    digest BYTEA NOT NULL,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    tier TEXT NOT NULL,
    created TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    revoked TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (key_id),
    UNIQUE (digest)
);
CREATE TABLE data_keys (
    kid TEXT NOT NULL,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    wrapped BYTEA,
    created TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (kid)
);
CREATE UNIQUE INDEX data_keys_one_living ON data_keys (tenant, user_id)
    WHERE wrapped IS NOT NULL;
"""

GUARDS = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER event_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(amount) INTO total FROM ledger_entries WHERE event_id = NEW.event_id;
    IF total <> 0 THEN
        RAISE EXCEPTION 'the postings of event % sum to %, not to zero', NEW.event_id, total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_balanced();
"""


def upgrade() -> None:
    for statement in _statements(TABLES):
        op.execute(statement)
    for statement in GUARDS.strip().split(";\nCREATE "):
        op.execute(statement if statement.startswith("CREATE") else f"CREATE {statement}")


def downgrade() -> None:
    raise Misconfigured("an archive is never taken down by a migration; restore a backup instead")


def _statements(script: str) -> list[str]:
    return [statement for statement in script.strip().rstrip(";").split(";\n") if statement]
