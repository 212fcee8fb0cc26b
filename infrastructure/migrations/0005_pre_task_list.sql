-- Which tasks does an organisation have? One row for each task, derived from its events; `perezvon rebuild task_list`
-- rebuilds the rows. No constraints but unique indexes: a rebuild copies the tables and their indexes, and swaps them by
-- name.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE {schema}.task_list (
    id                    text COLLATE "C" NOT NULL,
    organization_id       bigint NOT NULL,
    version               bigint NOT NULL,
    attempt               int NOT NULL,
    operator_number       int NOT NULL,
    status                text COLLATE "C" NOT NULL,
    task_type             text COLLATE "C" NOT NULL,
    priority              text COLLATE "C" NOT NULL,
    title                 text NOT NULL,
    title_folded          text NOT NULL, -- for the search: folding each title during a search is slow
    title_grams           int[], -- of searches that are too short for trigrams: see read_models/task_list/grams.py
    description           text,
    caller_phone          text COLLATE "C",
    caller_name           text,
    call_id               text,
    recording_url         text,
    call_datetime         timestamptz,
    call_transcription    text,
    call_summary          text,
    call_response_summary text,
    error_message         text,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    due_date              timestamptz,
    completed_at          timestamptz,
    appeal_id             text,
    assigned_user_id      text COLLATE "C",
    created_by_user_id    text COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0.05); -- each change of a task leaves a dead row
CREATE UNIQUE INDEX task_list_id ON {schema}.task_list (id);
-- The list without filters is a scan of one of these.
CREATE INDEX task_list_newest ON {schema}.task_list (organization_id, created_at, id) WHERE status <> 'cancelled';
CREATE INDEX task_list_newest_of_all ON {schema}.task_list (organization_id, created_at, id);
-- The list with filters reads the newest of each kind that passes them; task_counts lists the kinds.
CREATE INDEX task_list_kind ON {schema}.task_list (organization_id, status, task_type, priority, created_at, id);
CREATE INDEX task_list_assigned
    ON {schema}.task_list (organization_id, assigned_user_id, status, task_type, priority, created_at, id)
    WHERE assigned_user_id IS NOT NULL;
CREATE INDEX task_list_caller ON {schema}.task_list (organization_id, caller_phone, created_at, id)
    WHERE caller_phone IS NOT NULL;
-- Each search reads the pending list of this index: large enough that batched inserts pay off, and no larger.
CREATE INDEX task_list_title ON {schema}.task_list USING gin (title_folded gin_trgm_ops)
    WITH (gin_pending_list_limit = 1024);
CREATE INDEX task_list_grams ON {schema}.task_list USING gin (title_grams)
    WITH (gin_pending_list_limit = 1024);

-- The number of tasks of each kind, of all members ('') and of each: totals without counting rows.
CREATE TABLE {schema}.task_counts (
    organization_id  bigint NOT NULL,
    assigned_user_id text COLLATE "C" NOT NULL,
    status           text COLLATE "C" NOT NULL,
    task_type        text COLLATE "C" NOT NULL,
    priority         text COLLATE "C" NOT NULL,
    count            bigint NOT NULL
);
CREATE UNIQUE INDEX task_counts_kind
    ON {schema}.task_counts (organization_id, assigned_user_id, status, task_type, priority);
