WITH given AS (
    SELECT *
    FROM unnest(
        %b::text[], %b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::text[],
        %b::text[], %b::bigint[], %b::bigint[], %b::timestamptz[], %b::bytea[], %b::timestamptz[]
    ) AS g (
        id, organization_id, lane_id, origin, callback_id, kind,
        url, sequence, position, recorded_at, body, expires_at
    )
    WHERE recorded_at > now() - %b::interval
),
lanes AS (
    INSERT INTO {schema}.webhook_lanes (id, organization_id, origin)
    SELECT DISTINCT lane_id, organization_id, origin
    FROM given AS g
    WHERE NOT EXISTS (SELECT FROM {schema}.webhook_lanes AS l WHERE l.id = g.lane_id)
    ORDER BY lane_id
    ON CONFLICT DO NOTHING
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
