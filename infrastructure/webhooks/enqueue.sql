WITH given AS (
    SELECT *
    FROM unnest(
        %b::text[], %b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::text[],
        %b::text[], %b::bigint[], %b::bigint[], %b::timestamptz[], %b::bytea[], %b::timestamptz[]
    ) AS g (
        id, organization_id, lane_id, host, callback_id, kind,
        url, sequence, position, recorded_at, body, expires_at
    )
    WHERE recorded_at > now() - %b::interval
),
wanted AS MATERIALIZED (
    SELECT DISTINCT lane_id, organization_id, host, now() + %b::interval AS due_at
    FROM given
),
new_lanes AS (
    INSERT INTO {schema}.webhook_lanes AS l (id, organization_id, host, ready_at)
    SELECT lane_id, organization_id, host, due_at
    FROM wanted AS w
    WHERE NOT EXISTS (SELECT FROM {schema}.webhook_lanes AS l WHERE l.id = w.lane_id)
    ORDER BY lane_id
    -- inserted by another transaction a moment ago
    ON CONFLICT (id) DO UPDATE SET ready_at = least(l.ready_at, excluded.ready_at)
),
-- Delays the release of these lanes, and nothing else, until the deliveries are committed.
held AS MATERIALIZED (
    SELECT l.id, l.ready_at, greatest(w.due_at, l.paused_until, l.open_until) AS due_at
    FROM {schema}.webhook_lanes AS l
    JOIN wanted AS w ON w.lane_id = l.id
    ORDER BY l.id
    FOR KEY SHARE OF l
),
asleep AS MATERIALIZED (
    SELECT l.id, h.due_at
    FROM held AS h
    JOIN {schema}.webhook_lanes AS l ON l.id = h.id
    WHERE h.ready_at > h.due_at
    ORDER BY l.id
    FOR NO KEY UPDATE OF l
),
woken AS (
    UPDATE {schema}.webhook_lanes AS l SET ready_at = least(l.ready_at, a.due_at)
    FROM asleep AS a
    WHERE l.id = a.id
),
told AS (
    SELECT pg_notify(%b, '')
    WHERE %b::uuid IS NULL
)
INSERT INTO {schema}.webhook_deliveries (
    id, organization_id, lane_id, callback_id, kind, url, sequence,
    position, recorded_at, body, due_at, expires_at, leased_to
)
SELECT
    id, organization_id, lane_id, callback_id, kind, url, sequence,
    position, recorded_at, body, now() + %b::interval, expires_at, %b::uuid
FROM given, (SELECT count(*) FROM told) AS told
ORDER BY position
ON CONFLICT (id) DO NOTHING
