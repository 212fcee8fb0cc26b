-- Which callbacks does a queue have? One row for each callback, deleted ones too, derived from its events;
-- `perezvon rebuild callback_list` rebuilds the rows. No constraints but unique indexes, as in 0005.
CREATE TABLE {schema}.callback_list (
    id               bigint NOT NULL,
    organization_id  bigint NOT NULL,
    queue_id         bigint NOT NULL,
    version          bigint NOT NULL,
    name             text,
    a_number         text NOT NULL,
    b_number         text NOT NULL,
    extension_id     bigint,
    try_count        int NOT NULL,
    try_again_pause  int NOT NULL,
    url_before       text,
    url_before_again text,
    url_success      text,
    url_after        text,
    start_time       timestamptz NOT NULL,
    task_id          text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    due_at           timestamptz,
    status           text COLLATE "C" NOT NULL,
    attempt          int NOT NULL,
    call_id          text COLLATE "C",
    finish_result    text COLLATE "C",
    finish_comment   text,
    is_deleted       boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05); -- each change of a callback leaves a dead row
CREATE UNIQUE INDEX callback_list_id ON {schema}.callback_list (id);
CREATE INDEX callback_list_queue ON {schema}.callback_list (queue_id, id) WHERE NOT is_deleted;
CREATE INDEX callback_list_status ON {schema}.callback_list (queue_id, status, id) WHERE NOT is_deleted;
CREATE INDEX callback_list_result ON {schema}.callback_list (queue_id, finish_result, id)
    WHERE finish_result IS NOT NULL AND NOT is_deleted;

-- The number of callbacks of each kind, without deleted ones, and of attempts by outcome: one row for each queue that ever
-- had a callback. A deleted queue is not listed; its rows are not changed.
CREATE TABLE {schema}.callback_counts (
    queue_id         bigint NOT NULL,
    organization_id  bigint NOT NULL,
    scheduled        bigint NOT NULL,
    executed         bigint NOT NULL,
    delayed          bigint NOT NULL,
    success          bigint NOT NULL,
    failed           bigint NOT NULL,
    attempts_joined  bigint NOT NULL,
    attempts_failed  bigint NOT NULL,
    queue_is_deleted boolean NOT NULL
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX callback_counts_queue ON {schema}.callback_counts (queue_id);
CREATE INDEX callback_counts_organization ON {schema}.callback_counts (organization_id) WHERE NOT queue_is_deleted;
