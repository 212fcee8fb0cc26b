-- Which queues does an organisation have? One row a queue, deleted ones too, as its events made it;
-- `perezvon rebuild queue_board` makes them anew. The board counts with callback_counts, and asks queue_slots, timetable
-- and gateway_leases why nothing starts.
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
