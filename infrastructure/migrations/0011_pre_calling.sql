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
    ADD COLUMN b_line bigint,
    ADD COLUMN held_by text COLLATE "C"; -- why the dispatcher made it due later: a member of Idle, for the queue board
ALTER TABLE {schema}.open_calls
    ADD COLUMN client_line bigint; -- none where the queue has no client_leg
CREATE INDEX open_calls_client ON {schema}.open_calls (client_line) WHERE client_line IS NOT NULL;

-- The breaker's state survives workers, and the queue board shows why no attempt starts.
ALTER TABLE {schema}.gateway_leases
    ADD COLUMN paused_until timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN pauses int NOT NULL DEFAULT 0, -- in a row
    ADD COLUMN is_full boolean NOT NULL DEFAULT false, -- all channels are in use
    ADD COLUMN full_for bigint[] NOT NULL DEFAULT '{}'; -- organisations that use their share of the channels

-- A lower bound of the rows of each queue in the timetable, in the order of timetable_due; infinity: nothing waits. Searches
-- begin here, so they do not pass over the index entries of calls that were started: those stay for as long as any
-- transaction is open. The dispatcher raises it, under the row's lock; the trigger below lowers it.
-- "startable_at" is when the queue's turn comes: when it is due, or behind the queues that became due before it was served;
-- null while it may start no call. It is generated, so that an update of "taken" that does not fill the queue changes no
-- index.
ALTER TABLE {schema}.queue_slots
    ADD COLUMN next_due_at timestamptz NOT NULL DEFAULT 'infinity',
    ADD COLUMN next_callback_id bigint NOT NULL DEFAULT 0;
ALTER TABLE {schema}.queue_slots
    ADD COLUMN startable_at timestamptz GENERATED ALWAYS AS (
        CASE
            WHEN is_on AND NOT is_deleted AND taken < slots AND next_due_at < 'infinity'
            THEN greatest(next_due_at, served_at)
        END
    ) STORED;
CREATE INDEX queue_slots_startable ON {schema}.queue_slots (organization_id, startable_at)
    WHERE startable_at IS NOT NULL;
CREATE INDEX queue_slots_to_sweep ON {schema}.queue_slots (organization_id, queue_id)
    WHERE is_deleted AND next_due_at < 'infinity';

-- A writer of the timetable holds the rows of its queues until it commits, also where nothing is to be lowered: else the
-- dispatcher could raise the bound over a row that it does not see yet.
CREATE FUNCTION {schema}.lower_next_due() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    first record;
BEGIN
    FOR first IN
        SELECT DISTINCT ON (queue_id) queue_id, due_at, callback_id FROM written ORDER BY queue_id, due_at, callback_id
    LOOP
        PERFORM FROM {schema}.queue_slots
        WHERE queue_id = first.queue_id
        ORDER BY revision DESC
        LIMIT 1
        FOR UPDATE;
        UPDATE {schema}.queue_slots
        SET next_due_at = first.due_at, next_callback_id = first.callback_id, revision = revision + 1
        WHERE queue_id = first.queue_id
            AND revision = (
                SELECT revision FROM {schema}.queue_slots WHERE queue_id = first.queue_id ORDER BY revision DESC LIMIT 1
            )
            AND (first.due_at, first.callback_id) < (next_due_at, next_callback_id);
    END LOOP;
    RETURN NULL;
END $body$;
CREATE TRIGGER next_due_of_new AFTER INSERT ON {schema}.timetable
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION {schema}.lower_next_due();
CREATE TRIGGER next_due_of_moved AFTER UPDATE ON {schema}.timetable
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION {schema}.lower_next_due();

-- Callbacks that are due while a call with their client runs: moved here from the timetable by the dispatcher, and back, the
-- oldest of each queue, when that call has ended.
CREATE TABLE {schema}.line_waits (
    callback_id     bigint PRIMARY KEY,
    queue_id        bigint NOT NULL,
    organization_id bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    position        bigint NOT NULL,
    a_line          bigint,
    b_line          bigint,
    line            bigint NOT NULL -- that of the two that is busy
);
CREATE INDEX line_waits_line ON {schema}.line_waits (line, queue_id, due_at, callback_id);
CREATE INDEX line_waits_due ON {schema}.line_waits (queue_id, due_at, callback_id);

-- A mark of queues that have other rules, or are deleted: callbacks behind this one in line_waits may have to go back to the
-- timetable. keep_timetable sets it, the dispatcher moves them in small batches.
ALTER TABLE {schema}.queue_slots
    ADD COLUMN freed_due_at timestamptz,
    ADD COLUMN freed_callback_id bigint NOT NULL DEFAULT 0;
CREATE INDEX queue_slots_freed ON {schema}.queue_slots (organization_id, queue_id) WHERE freed_due_at IS NOT NULL;

-- Organisations whose own calls met congestion, so that they start none but a probe: as gateway_leases.paused_until.
CREATE TABLE {schema}.organization_pauses (
    gateway         text COLLATE "C" NOT NULL,
    organization_id bigint NOT NULL,
    paused_until    timestamptz NOT NULL,
    pauses          int NOT NULL,
    PRIMARY KEY (gateway, organization_id)
);

-- The worker that started the call is certain that it was never sent to the switch, and will not be.
ALTER TABLE {schema}.open_calls ADD COLUMN is_undialled boolean NOT NULL DEFAULT false;

-- Calls that each organisation has started on its present day, which began at a midnight in its time zone: counted by the
-- dispatcher, in the transaction that starts them.
CREATE TABLE {schema}.organization_calls (
    organization_id bigint PRIMARY KEY,
    day_began       timestamptz NOT NULL,
    calls           bigint NOT NULL,
    held_until      timestamptz NOT NULL DEFAULT '-infinity' -- no call was left when one was due: for the queue board
) WITH (fillfactor = 50);

-- Attempts of the last hour to each phone line, where attempts to a number are limited; the dispatcher deletes older ones.
CREATE TABLE {schema}.line_attempts (
    line            bigint NOT NULL, -- application/phone_line_key.py
    started_at      timestamptz NOT NULL
);
CREATE INDEX line_attempts_line ON {schema}.line_attempts (line, started_at);
CREATE INDEX line_attempts_age ON {schema}.line_attempts USING brin (started_at);

-- Open callbacks to an outside number, on either leg: counted when another one to it is scheduled. Keys of extensions are
-- negative. Open calls are few, and come and go with each call: they are scanned, without an index.
ALTER TABLE {schema}.open_calls
    ADD COLUMN a_line bigint,
    ADD COLUMN b_line bigint;
CREATE INDEX timetable_a_line ON {schema}.timetable (a_line) WHERE a_line > 0;
CREATE INDEX timetable_b_line ON {schema}.timetable (b_line) WHERE b_line > 0;
