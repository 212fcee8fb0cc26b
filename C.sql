CREATE OR REPLACE FUNCTION "perezvon_1"."stored_events_append"(
    command int[], stream text[], version bigint[], topic text[], state bytea[],
    organization bigint[], actor text[], reason text[], causation text[], correlation text[],
    claim_command int[] DEFAULT '{}', claim_digest bytea[] DEFAULT '{}', claim_fingerprint bytea[] DEFAULT '{}',
    claim_stream text[] DEFAULT '{}', claim_version bigint[] DEFAULT '{}', claim_status int[] DEFAULT '{}'
) RETURNS TABLE (answered int, verdict text, last_position bigint, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The checks must stay index look-ups, also while the planner believes that the table is still small.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $body$
#variable_conflict use_variable
DECLARE
    head bigint;
    now timestamptz;
    conflicts int[];
    taken int[] := '{}';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the event log is appended to in READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(1885696613, '"perezvon_1"."stored_events"'::regclass::oid::bigint::bit(32)::int);
    SELECT t.notification_id, t.recorded_at INTO head, now FROM "perezvon_1"."stored_events" t ORDER BY t.notification_id DESC LIMIT 1;
    head := coalesce(head, 0);
    now := greatest(clock_timestamp(), now);

    IF cardinality(claim_command) > 0 THEN
        SELECT coalesce(array_agg(c.command), '{}') INTO taken
        FROM unnest(claim_command, claim_digest) AS c(command, digest)
        WHERE EXISTS (SELECT FROM "perezvon_1"."stored_events_claims" k
                      WHERE k.digest = c.digest AND k.claimed_at > now - interval '24 hours');
    END IF;

    conflicts := '{}';
    IF cardinality(claim_command) > 0 THEN
        SELECT taken || coalesce(array_agg(c.command), '{}') INTO taken
        FROM (SELECT u.command, min(u.command) FILTER (WHERE u.command <> ALL (conflicts || taken))
                         OVER (PARTITION BY u.digest) AS first
              FROM unnest(claim_command, claim_digest) AS u(command, digest)) c
        WHERE c.command > c.first;
        INSERT INTO "perezvon_1"."stored_events_claims" AS k
        SELECT u.digest, u.fingerprint, u.stream, u.version, u.status, now
        FROM unnest(claim_command, claim_digest, claim_fingerprint, claim_stream, claim_version, claim_status)
            AS u(command, digest, fingerprint, stream, version, status)
        WHERE u.command <> ALL (conflicts || taken)
        ON CONFLICT (digest) DO UPDATE SET fingerprint = excluded.fingerprint, stream = excluded.stream,
            version = excluded.version, status = excluded.status, claimed_at = excluded.claimed_at;
    END IF;

    INSERT INTO "perezvon_1"."stored_events" (notification_id, originator_version, organization_id, recorded_at, originator_id,
                                  topic, actor, reason, causation, correlation, state)
    SELECT head + row_number() OVER (ORDER BY u.n), u.version, u.organization, now, u.stream,
           u.topic, u.actor, u.reason, u.causation, u.correlation, u.state
    FROM unnest(command, stream, version, topic, state, organization, actor, reason, causation, correlation)
        WITH ORDINALITY AS u(command, stream, version, topic, state, organization, actor, reason, causation, correlation, n)
    WHERE u.command <> ALL (conflicts || taken);

    PERFORM pg_notify('stored_events', '');

    RETURN QUERY
    SELECT r.command, r.verdict,
           CASE WHEN r.verdict = 'appended' THEN (head + sum(r.appended) OVER (ORDER BY r.command))::bigint END, now
    FROM (SELECT c.command,
                 CASE WHEN c.command = ANY (taken) THEN 'claimed' WHEN c.command = ANY (conflicts) THEN 'conflict'
                      ELSE 'appended' END AS verdict,
                 CASE WHEN c.command = ANY (conflicts || taken) THEN 0 ELSE c.events END AS appended
          FROM (SELECT u.command, count(u.stream) AS events
                FROM (SELECT e.command, e.stream FROM unnest(command, stream) AS e(command, stream)
                      UNION ALL SELECT k.command, NULL FROM unnest(claim_command) AS k(command)) u
                GROUP BY u.command) c) r
    ORDER BY r.command;
END $body$;

REVOKE ALL ON FUNCTION "perezvon_1"."stored_events_append" FROM PUBLIC;
