WITH counted AS (
    SELECT coalesce(sum(<counts>), 0)::bigint AS total
    FROM {schema}.callback_counts
    WHERE queue_id = %(queue_id)s AND organization_id = %(organization_id)s AND NOT queue_is_deleted
), span AS (
    SELECT <length> AS length, %(offset)s::bigint AS before, <behind> AS behind
    FROM counted
), chosen AS (
    (
        SELECT id
        FROM {schema}.callback_list
        WHERE queue_id = %(queue_id)s AND NOT is_deleted <filter>
        ORDER BY id
        LIMIT (SELECT CASE WHEN before <= behind THEN length ELSE 0 END FROM span)
        OFFSET (SELECT before FROM span)
    )
    UNION ALL
    (
        SELECT id
        FROM {schema}.callback_list
        WHERE queue_id = %(queue_id)s AND NOT is_deleted <filter>
        ORDER BY id DESC
        LIMIT (SELECT CASE WHEN before > behind THEN length ELSE 0 END FROM span)
        OFFSET (SELECT behind FROM span)
    )
)
SELECT counted.total, coalesce((SELECT position FROM {schema}.checkpoints WHERE name = 'callback_list'), 0), c.*
FROM counted
LEFT JOIN (
    chosen
    CROSS JOIN LATERAL (
        SELECT <columns>
        FROM {schema}.callback_list AS l
        WHERE l.id = chosen.id AND l.organization_id = %(organization_id)s
        LIMIT 1
    ) AS c
) ON true
ORDER BY c.id
