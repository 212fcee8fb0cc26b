-- An event log: its table, its append function, its protection. A template: {schema}, {table}, {channel} … are filled
-- in by infrastructure/postgres/migrations.py, for perezvon's own log (this is migration 0001) and for any other
-- application of the eventsourcing library that opens its own log in this database.

CREATE TABLE {schema}.{table} (
    notification_id    bigint NOT NULL,
    originator_version bigint NOT NULL,
    organization_id    bigint,
    recorded_at        timestamptz NOT NULL,
    originator_id      text COLLATE "C" NOT NULL,
    topic              text COLLATE "C" NOT NULL,
    actor              text,
    reason             text,
    causation          text,
    correlation        text,
    state              bytea NOT NULL
);
CREATE UNIQUE INDEX {table_position} ON {schema}.{table} (notification_id);
CREATE UNIQUE INDEX {table_stream} ON {schema}.{table} (originator_id, originator_version);

-- Idempotency keys, with the command that each stands for: written in the transaction of its events, kept for a day.
CREATE TABLE {schema}.{table_claims} (
    digest      bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    status      int NOT NULL,
    claimed_at  timestamptz NOT NULL
);
CREATE INDEX {table_claims_age} ON {schema}.{table_claims} (claimed_at);

-- The lock of the writers: the row of this table. Only the owner of the append function may touch it, so no other login can
-- block the log. Its one row is locked, never changed.
CREATE TABLE {schema}.{table_door} (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);
INSERT INTO {schema}.{table_door} DEFAULT VALUES;

CREATE FUNCTION {schema}.{table_refuse}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the event log is append-only' USING ERRCODE = 'insufficient_privilege';
END $body$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{table_refuse}();
REVOKE ALL ON FUNCTION {schema}.{table_refuse} FROM PUBLIC;

-- The only function that appends events. It takes a batch of commands: events as parallel arrays, where "command" is the
-- number (1, 2, 3 …, ascending) of the command that an event belongs to; idempotency keys ("claims") as parallel arrays
-- of their own, at most one for each command. The verdict on a command is "conflict" if one of its (stream, version)
-- exists or is used by an earlier command of the batch, and "claimed" if its key exists; other commands of the batch are
-- not affected. All others are numbered without gaps and inserted. Returns a row for each command that has events or a key.
-- The versions of a stream are contiguous, those of an organisation's stream from 1 on, so nothing can be inserted before an
-- event: an event whose predecessor is missing is an error of the caller and raises an exception. If the predecessor belongs
-- to another organisation, the verdict on the command is "foreign".
-- The lock of the writers is held until the transaction ends: events commit in the order of their numbers, so a reader that
-- follows notification_id never misses an event.
CREATE FUNCTION {schema}.{table_append}(
    command int[], stream text[], version bigint[], topic text[], state bytea[],
    organization bigint[], actor text[], reason text[], causation text[], correlation text[],
    claim_command int[] DEFAULT '{}', claim_digest bytea[] DEFAULT '{}', claim_fingerprint bytea[] DEFAULT '{}',
    claim_stream text[] DEFAULT '{}', claim_version bigint[] DEFAULT '{}', claim_status int[] DEFAULT '{}'
) RETURNS TABLE (answered int, verdict text, last_position bigint, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The checks must remain index lookups, also while the planner still estimates the table as small.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $body$
#variable_conflict use_variable
DECLARE
    head bigint;
    now timestamptz;
    careful boolean := cardinality(claim_command) > 0;
    conflicts int[] := '{}';
    misplaced int[] := '{}';
    orphan text;
    taken int[] := '{}'; -- the misplaced ones, too
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the event log is appended to in READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM {schema}.{table_door} FOR UPDATE;
    SELECT t.notification_id, t.recorded_at INTO head, now FROM {schema}.{table} t ORDER BY t.notification_id DESC LIMIT 1;
    head := coalesce(head, 0);
    now := greatest(clock_timestamp(), now);
    -- A new stream of an organisation needs no look-up: the index admits one event with version 1.
    IF NOT 1 = ALL (version) OR array_position(organization, NULL) IS NOT NULL THEN
        SELECT coalesce(array_agg(f.command) FILTER (WHERE f.is_foreign), '{}'), min(f.stream) FILTER (WHERE f.is_orphan)
        INTO misplaced, orphan
        FROM (SELECT u.command, u.stream,
                     t.originator_id IS NOT NULL AND t.organization_id IS DISTINCT FROM u.organization AS is_foreign,
                     t.originator_id IS NULL AND (u.organization IS NOT NULL OR EXISTS (
                         SELECT FROM {schema}.{table} s WHERE s.originator_id = u.stream)) AS is_orphan
              FROM (SELECT e.command, e.stream, e.version, e.organization,
                           lag(e.command) OVER w = e.command AND lag(e.stream) OVER w = e.stream
                               AND lag(e.version) OVER w = e.version - 1
                               AND lag(e.organization) OVER w IS NOT DISTINCT FROM e.organization AS follows
                    FROM unnest(command, stream, version, organization) WITH ORDINALITY
                        AS e(command, stream, version, organization, n)
                    WINDOW w AS (ORDER BY e.n)) u
              LEFT JOIN {schema}.{table} t ON t.originator_id = u.stream AND t.originator_version = u.version - 1
              WHERE u.follows IS NOT TRUE AND (u.version <> 1 OR u.organization IS NULL)) f;
        IF orphan IS NOT NULL THEN
            RAISE EXCEPTION 'an event of stream % has no predecessor', orphan USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        taken := misplaced;
    END IF;

    -- Conflicts are rare: insert first, and look for them only after the index has found one. Keys are looked up at once.
    LOOP
        IF careful THEN
            IF cardinality(claim_command) > 0 THEN
                SELECT misplaced || coalesce(array_agg(c.command), '{}') INTO taken
                FROM unnest(claim_command, claim_digest) AS c(command, digest)
                WHERE EXISTS (SELECT FROM {schema}.{table_claims} k
                              WHERE k.digest = c.digest AND k.claimed_at > now - interval '24 hours');
            END IF;

            -- Only a command that is itself appended occupies a version, or a key, against later commands of the batch.
            SELECT coalesce(array_agg(DISTINCT f.command), '{}') INTO conflicts
            FROM (SELECT e.command, e.stale,
                         min(e.command) FILTER (WHERE NOT e.stale AND e.command <> ALL (taken))
                             OVER (PARTITION BY e.stream, e.version) AS first
                  FROM (SELECT u.command, u.stream, u.version,
                               bool_or(EXISTS (SELECT FROM {schema}.{table} t
                                               WHERE t.originator_id = u.stream AND t.originator_version = u.version))
                                   OVER (PARTITION BY u.command) AS stale
                        FROM unnest(command, stream, version) AS u(command, stream, version)) e) f
            WHERE f.stale OR f.command > f.first;

            IF cardinality(claim_command) > 0 THEN
                SELECT taken || coalesce(array_agg(c.command), '{}') INTO taken
                FROM (SELECT u.command, min(u.command) FILTER (WHERE u.command <> ALL (conflicts || taken))
                                 OVER (PARTITION BY u.digest) AS first
                      FROM unnest(claim_command, claim_digest) AS u(command, digest)) c
                WHERE c.command > c.first;
                INSERT INTO {schema}.{table_claims} AS k
                SELECT u.digest, u.fingerprint, u.stream, u.version, u.status, now
                FROM unnest(claim_command, claim_digest, claim_fingerprint, claim_stream, claim_version, claim_status)
                    AS u(command, digest, fingerprint, stream, version, status)
                WHERE u.command <> ALL (conflicts || taken)
                ON CONFLICT (digest) DO UPDATE SET fingerprint = excluded.fingerprint, stream = excluded.stream,
                    version = excluded.version, status = excluded.status, claimed_at = excluded.claimed_at;
            END IF;
        END IF;
        BEGIN
            INSERT INTO {schema}.{table} (notification_id, originator_version, organization_id, recorded_at, originator_id,
                                          topic, actor, reason, causation, correlation, state)
            SELECT head + row_number() OVER (ORDER BY u.n), u.version, u.organization, now, u.stream,
                   u.topic, u.actor, u.reason, u.causation, u.correlation, u.state
            FROM unnest(command, stream, version, topic, state, organization, actor, reason, causation, correlation)
                WITH ORDINALITY AS u(command, stream, version, topic, state, organization, actor, reason, causation, correlation, n)
            WHERE u.command <> ALL (conflicts || taken);
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            IF careful THEN
                RAISE;
            END IF;
            careful := true;
        END;
    END LOOP;

    PERFORM pg_notify('{channel}', '');

    RETURN QUERY
    SELECT r.command, r.verdict,
           CASE WHEN r.verdict = 'appended' THEN (head + sum(r.appended) OVER (ORDER BY r.command))::bigint END, now
    FROM (SELECT c.command,
                 CASE WHEN c.command = ANY (misplaced) THEN 'foreign' WHEN c.command = ANY (taken) THEN 'claimed' WHEN c.command = ANY (conflicts) THEN 'conflict'
                      ELSE 'appended' END AS verdict,
                 CASE WHEN c.command = ANY (conflicts || taken) THEN 0 ELSE c.events END AS appended
          FROM (SELECT u.command, count(u.stream) AS events
                FROM (SELECT e.command, e.stream FROM unnest(command, stream) AS e(command, stream)
                      UNION ALL SELECT k.command, NULL FROM unnest(claim_command) AS k(command)) u
                GROUP BY u.command) c) r
    ORDER BY r.command;
END $body$;

REVOKE ALL ON FUNCTION {schema}.{table_append} FROM PUBLIC;
