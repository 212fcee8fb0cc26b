-- Which queues does an organisation have? One row for each queue, deleted ones too, derived from its events;
-- `perezvon rebuild queue_board` rebuilds the rows. The board reads its counts from callback_counts, and the reason why no
-- attempt starts from queue_slots, timetable and gateway_leases.
CREATE TABLE {schema}.queue_board (
    id                    bigint NOT NULL,
    organization_id       bigint NOT NULL,
    version               bigint NOT NULL,
    name                  text NOT NULL,
    comment               text,
    status                text COLLATE "C" NOT NULL,
    concurrent_task_limit int NOT NULL,
    created_at            timestamptz NOT NULL,
    is_deleted            boolean NOT NULL
);
CREATE UNIQUE INDEX queue_board_id ON {schema}.queue_board (id);
CREATE INDEX queue_board_organization ON {schema}.queue_board (organization_id, id) WHERE NOT is_deleted;
