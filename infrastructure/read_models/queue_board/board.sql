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
    first.due_at,
    coalesce(first.due_at <= clock_timestamp(), false),
    first.held_by,
    apart.due_at,
    switches.are_there,
    switches.are_paused,
    switches.probe_at,
    switches.are_full,
    (
        SELECT held_until
        FROM {schema}.organization_calls
        WHERE organization_id = %(organization_id)s AND held_until > clock_timestamp()
    )
FROM (
    SELECT
        count(*) > 0 AS are_there,
        coalesce(bool_and(here.is_paused), false) AS are_paused,
        min(here.paused_until) FILTER (WHERE here.paused_until > clock_timestamp()) AS probe_at,
        coalesce(bool_and(here.is_full) FILTER (WHERE NOT here.is_paused), false) AS are_full
    FROM {schema}.gateway_leases AS l
    LEFT JOIN {schema}.organization_pauses AS p ON p.gateway = l.gateway AND p.organization_id = %(organization_id)s
    CROSS JOIN LATERAL (
        SELECT
            greatest(l.paused_until, p.paused_until) AS paused_until,
            greatest(l.paused_until, p.paused_until) > '-infinity' AS is_paused,
            l.is_full OR %(organization_id)s = ANY(l.full_for) AS is_full
    ) AS here
    WHERE l.link_up AND l.until > clock_timestamp()
) AS switches
LEFT JOIN (
    SELECT id, name, status, concurrent_task_limit
    FROM {schema}.queue_board
    WHERE organization_id = %(organization_id)s AND NOT is_deleted <queues>
    ORDER BY id
    LIMIT %(limit)s
) AS q ON true
LEFT JOIN {schema}.callback_counts AS c ON c.queue_id = q.id AND c.organization_id = %(organization_id)s
LEFT JOIN LATERAL (
    SELECT taken, next_due_at
    FROM {schema}.queue_slots
    WHERE queue_id = q.id AND organization_id = %(organization_id)s
    ORDER BY revision DESC
    LIMIT 1
) AS s ON true
LEFT JOIN LATERAL (
    SELECT due_at, held_by
    FROM {schema}.timetable
    WHERE queue_id = q.id
        AND organization_id = %(organization_id)s
        AND due_at >= coalesce(s.next_due_at, '-infinity')
    ORDER BY due_at, callback_id
    LIMIT 1
) AS first ON true
LEFT JOIN LATERAL (
    SELECT due_at
    FROM {schema}.line_waits
    WHERE queue_id = q.id AND organization_id = %(organization_id)s
    ORDER BY due_at
    LIMIT 1
) AS apart ON true
ORDER BY q.id
