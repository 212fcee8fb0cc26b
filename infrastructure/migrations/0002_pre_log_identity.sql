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
