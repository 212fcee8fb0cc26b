-- The ids of this log: an event's id is the UUIDv5 of the row in force at its position, and stream@version. After a
-- restore from a backup a new row is added, so that the ids of events that the restore lost are not used again.
CREATE TABLE {schema}.log_identity (
    since_position bigint PRIMARY KEY,
    id             uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO {schema}.log_identity (since_position) VALUES (1);

-- The log for analysts: the fact as jsonb beside its envelope.
CREATE VIEW {schema}.log_json AS
SELECT notification_id AS position, originator_id AS stream, originator_version AS version, topic AS type,
       recorded_at, organization_id, actor, reason, causation, correlation,
       convert_from(state, 'UTF8')::jsonb AS fact
FROM {schema}.stored_events
-- Another application of the eventsourcing library may store events that are not JSON; they have no organisation.
WHERE organization_id IS NOT NULL;

-- Numbers of new organisations. The low bits of an id are the shard, 1 of 64 (ids are 1, 65, 129, …).
CREATE SEQUENCE {schema}.organization_numbers MINVALUE 0 START 0;

-- The state of long streams at some of their versions, so that a stream is loaded from the newest snapshot on
-- (docs/adr/0019-snapshots.md). Nothing but a cache: all rows may be deleted at any time. The topic contains the number of
-- the fold; rows of other numbers are not read.
CREATE TABLE {schema}.snapshots (
    originator_id      text COLLATE "C" NOT NULL,
    topic              text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    notification_id    bigint NOT NULL, -- position, organisation and time of the event with that version
    organization_id    bigint,
    recorded_at        timestamptz NOT NULL,
    state              bytea NOT NULL,
    PRIMARY KEY (originator_id, topic, originator_version)
);

-- The only function that adds snapshots. It adds none for a version that the log does not have: such a snapshot would hide
-- the events that are recorded later.
CREATE FUNCTION {schema}.snapshots_add(stream text, version bigint, topic text, state bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $body$
    INSERT INTO {schema}.snapshots (
        originator_id, topic, originator_version, notification_id, organization_id, recorded_at, state
    )
    SELECT e.originator_id, $3, e.originator_version, e.notification_id, e.organization_id, e.recorded_at, $4
    FROM {schema}.stored_events AS e
    WHERE e.originator_id = $1 AND e.originator_version = $2
    ON CONFLICT DO NOTHING
$body$;
REVOKE ALL ON FUNCTION {schema}.snapshots_add FROM PUBLIC;
