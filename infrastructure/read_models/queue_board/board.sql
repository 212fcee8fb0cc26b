SELECT
    least(
        coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'callback_list'), 0),
        coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'queue_board'), 0)
    ),
    q.id,
    q.name,
    q.status,
    q.concurrent_task_limit,
    coalesce(s.taken, 0),
    coalesce(c.scheduled, 0),
    coalesce(c.delayed, 0),
    coalesce(c.executed, 0),
    coalesce(c.success, 0),
    coalesce(c.failed, 0),
    coalesce(c.attempts_joined, 0),
    coalesce(c.attempts_failed, 0),
    oldest.due_at,
    coalesce(oldest.due_at <= clock_timestamp(), false),
    switches.are_there,
    switches.are_full
FROM (
    SELECT count(*) > 0 AS are_there, coalesce(bool_and(is_full), false) AS are_full
    FROM {schema}.gateway_leases AS l
    WHERE link_up
        AND paused_until = '-infinity'
        AND until > clock_timestamp()
        AND NOT EXISTS (
            SELECT
            FROM {schema}.organization_pauses AS p
            WHERE p.gateway = l.gateway AND p.organization_id = %(organization_id)s
        )
) AS switches
LEFT JOIN (
    SELECT id, name, status, concurrent_task_limit
    FROM {schema}.queue_board
    WHERE organization_id = %(organization_id)s AND NOT is_deleted <queues>
    ORDER BY id
    LIMIT %(limit)s
) AS q ON true
LEFT JOIN {schema}.callback_counts AS c ON c.queue_id = q.id AND c.organization_id = %(organization_id)s
LEFT JOIN {schema}.queue_slots AS s ON s.queue_id = q.id AND s.organization_id = %(organization_id)s
LEFT JOIN LATERAL (
    SELECT min(due_at) AS due_at
    FROM (
        (
            SELECT due_at
            FROM {schema}.timetable
            WHERE queue_id = q.id AND organization_id = %(organization_id)s
            ORDER BY due_at, callback_id
            LIMIT 1
        )
        UNION ALL
        (
            SELECT due_at
            FROM {schema}.line_waits
            WHERE queue_id = q.id AND organization_id = %(organization_id)s
            ORDER BY due_at
            LIMIT 1
        )
    ) AS waiting
) AS oldest ON true
ORDER BY q.id
