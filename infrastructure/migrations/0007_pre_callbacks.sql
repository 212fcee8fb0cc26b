-- Ids of new queues and callbacks: n * 64 + 1; the low bits are the shard, 1 of 64.
CREATE SEQUENCE {schema}.queue_numbers MINVALUE 0 START 0;
CREATE SEQUENCE {schema}.callback_numbers MINVALUE 0 START 0 CACHE 1;

-- The slots of each queue: maintained by the policy keep_timetable, except "taken", which the dispatcher maintains: it is
-- the count of the queue's rows in open_calls, changed under this row's lock, so that the limit holds over all workers.
-- While any transaction is open, no older version of a row can be removed, and each start of a call leaves one. So a start raises
-- "revision", and what happens for each call looks up the newest version: ORDER BY revision DESC LIMIT 1. With queue_id alone as
-- the key, each look-up and each new version would pass over all versions. keep_timetable adds one row for each queue.
CREATE TABLE {schema}.queue_slots (
    queue_id        bigint NOT NULL,
    organization_id bigint NOT NULL,
    is_on           boolean NOT NULL,
    is_deleted      boolean NOT NULL DEFAULT false,
    slots           int NOT NULL,
    taken           int NOT NULL DEFAULT 0,
    revision        bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (queue_id, revision)
) WITH (fillfactor = 50);

-- Callbacks that wait to be dialled: a row for each that is scheduled or delayed, maintained by the policy keep_timetable;
-- the dispatcher deletes it in the transaction that starts the attempt.
CREATE TABLE {schema}.timetable (
    callback_id     bigint PRIMARY KEY,
    queue_id        bigint NOT NULL,
    organization_id bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    position        bigint NOT NULL -- of the event that made it due: the cause of the attempt
);
CREATE INDEX timetable_due ON {schema}.timetable (queue_id, due_at, callback_id);

-- Open calls according to the log: each occupies a slot, from the transaction that starts the attempt to the one that
-- records the call's end.
CREATE TABLE {schema}.open_calls (
    call_id         uuid PRIMARY KEY,
    callback_id     bigint NOT NULL,
    queue_id        bigint NOT NULL,
    organization_id bigint NOT NULL,
    attempt         int NOT NULL,
    position        bigint NOT NULL, -- of AttemptStarted: the cause of what the switch reports about the call
    correlation     text,
    gateway         text COLLATE "C" NOT NULL,
    fence           bigint NOT NULL, -- of the leader that started it
    started_at      timestamptz NOT NULL,
    hang_up         boolean NOT NULL DEFAULT false -- set by keep_timetable when the callback was deleted
);
CREATE INDEX open_calls_queue ON {schema}.open_calls (queue_id);
CREATE UNIQUE INDEX open_calls_callback ON {schema}.open_calls (callback_id);

-- The lease of each gateway: one worker at a time uses it, until the lease expires. A higher fencing token voids all lower
-- ones.
CREATE TABLE {schema}.gateway_leases (
    gateway     text COLLATE "C" PRIMARY KEY,
    holder      uuid,
    fence       bigint NOT NULL DEFAULT 0,
    until       timestamptz NOT NULL DEFAULT '-infinity',
    link_up     boolean NOT NULL DEFAULT false, -- whether the leader is connected to the switch: the queue board shows it
    link_since  timestamptz NOT NULL DEFAULT now()
);

-- The callback that carries out each task at present, maintained by the policy carry_out_callback_tasks.
CREATE TABLE {schema}.task_callbacks (
    task_id     text COLLATE "C" PRIMARY KEY,
    callback_id bigint NOT NULL
);
