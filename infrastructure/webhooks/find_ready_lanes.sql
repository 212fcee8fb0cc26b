-- Where few lanes are ready, they are simply counted. Where 256 are, this jumps in the index from organisation to
-- organisation, and from its hosts that never answered to the others: a few index entries for each organisation with
-- something pending, however many lanes each of them has.
WITH RECURSIVE oldest AS MATERIALIZED (
    SELECT organization_id, has_answered
    FROM {schema}.webhook_lanes
    WHERE ready_at <= now()
        AND ready_at < 'infinity' -- of the partial index
        AND lease_until < now()
        AND paused_until <= now()
        AND open_until <= now()
    ORDER BY ready_at
    LIMIT 256
),
total AS MATERIALIZED (
    SELECT count(*) AS count
    FROM oldest
),
turn AS (
    (
        SELECT organization_id, has_answered, ready_at
        FROM {schema}.webhook_lanes
        WHERE ready_at < 'infinity' AND (SELECT count FROM total) = 256
        ORDER BY organization_id, has_answered, ready_at
        LIMIT 1
    )
    UNION ALL
    SELECT following.organization_id, following.has_answered, following.ready_at
    FROM turn
    CROSS JOIN LATERAL (
        SELECT l.organization_id, l.has_answered, l.ready_at
        FROM {schema}.webhook_lanes AS l
        WHERE (l.organization_id, l.has_answered) > (turn.organization_id, turn.has_answered)
            AND l.ready_at < 'infinity'
        ORDER BY l.organization_id, l.has_answered, l.ready_at
        LIMIT 1
    ) AS following
)
SELECT organization_id, has_answered, count(*) AS count
FROM oldest
WHERE (SELECT count FROM total) < 256
GROUP BY organization_id, has_answered
UNION ALL
SELECT turn.organization_id, turn.has_answered, ready.count
FROM turn
CROSS JOIN LATERAL (
    SELECT count(*)
    FROM (
        SELECT
        FROM {schema}.webhook_lanes AS l
        -- As a range: with equalities the planner may prefer the index on ready_at alone, which has all others' lanes.
        WHERE (l.organization_id, l.has_answered, l.ready_at) >= (turn.organization_id, turn.has_answered, '-infinity')
            AND (l.organization_id, l.has_answered, l.ready_at) <= (turn.organization_id, turn.has_answered, now())
            AND l.ready_at < 'infinity'
            AND l.lease_until < now()
            AND l.paused_until <= now()
            AND l.open_until <= now()
        ORDER BY l.organization_id, l.has_answered, l.ready_at
        LIMIT 256
    ) AS some_of_them
) AS ready
WHERE turn.ready_at <= now() AND ready.count > 0
