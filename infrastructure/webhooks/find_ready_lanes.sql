-- Jumps in the index from organisation to organisation, and from its hosts that never answered to the others. So the cost
-- is a few index entries for each organisation with something pending, however many lanes each of them has.
WITH RECURSIVE turn AS (
    (
        SELECT organization_id, has_answered, ready_at
        FROM {schema}.webhook_lanes
        WHERE ready_at < 'infinity'
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
SELECT turn.organization_id, turn.has_answered, ready.count
FROM turn
CROSS JOIN LATERAL (
    SELECT count(*)
    FROM (
        SELECT
        FROM {schema}.webhook_lanes AS l
        WHERE l.organization_id = turn.organization_id
            AND l.has_answered = turn.has_answered
            AND l.ready_at <= now()
            AND l.lease_until < now()
            AND l.paused_until <= now()
            AND l.open_until <= now()
        LIMIT %b
    ) AS few
) AS ready
WHERE turn.ready_at <= now() AND ready.count > 0
