UPDATE {schema}.webhook_deliveries AS d
SET due_at = greatest(now() + interval '1 second', head.due_at)
FROM unnest(%b::uuid[]) AS held (id)
CROSS JOIN LATERAL (
    SELECT d.number, greatest(h.due_at, l.paused_until, l.open_until) AS due_at
    FROM {schema}.webhook_deliveries AS d
    CROSS JOIN LATERAL (
        SELECT h.number, h.lane_id, h.due_at
        FROM {schema}.webhook_deliveries AS h
        WHERE h.callback_id = d.callback_id AND h.state = 'pending'
        ORDER BY h.position
        LIMIT 1
    ) AS h
    JOIN {schema}.webhook_lanes AS l ON l.id = h.lane_id
    WHERE d.lane_id = held.id
        AND d.state = 'pending'
        AND d.due_at <= now()
        AND (h.number <> d.number OR d.expires_at <= now())
) AS head
WHERE d.number = head.number AND d.state = 'pending'
