-- Calling rules of queues, beyond docs/contracts/task_scheduler.md (maintained by keep_timetable), and when each queue was
-- served last, so that queues are served in rotation.
ALTER TABLE {schema}.queue_slots
    ADD COLUMN retry_policy jsonb,   -- none: the organisation's default
    ADD COLUMN client_leg text COLLATE "C", -- a or b: at most one call at a time with the number on this leg
    ADD COLUMN served_at timestamptz NOT NULL DEFAULT '-infinity';

-- Hashes of organisation and number (application/phone_line_key.py) of the client that a callback would ring. A row that is
-- older than these columns has none, and does not wait for another call with the client.
ALTER TABLE {schema}.timetable
    ADD COLUMN a_line bigint,
    ADD COLUMN b_line bigint;
ALTER TABLE {schema}.open_calls
    ADD COLUMN client_line bigint; -- none where the queue has no client_leg
CREATE INDEX open_calls_client ON {schema}.open_calls (client_line) WHERE client_line IS NOT NULL;

-- The breaker's state survives workers, and the queue board shows why no attempt starts.
ALTER TABLE {schema}.gateway_leases
    ADD COLUMN paused_until timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN pauses int NOT NULL DEFAULT 0, -- in a row
    ADD COLUMN is_full boolean NOT NULL DEFAULT false; -- all channels are in use
