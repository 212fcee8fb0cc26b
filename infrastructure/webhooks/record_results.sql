WITH given AS (
    SELECT *
    FROM unnest(
        %b::bigint[], %b::uuid[], %b::text[], %b::timestamptz[], %b::int[], %b::int[],
        %b::text[], %b::timestamptz[], %b::int[], %b::int[], %b::bytea[], %b::bool[]
    ) AS g (number, leased_to, state, due_at, step, refusals, error, at, ms, status, answer, is_counted)
),
done AS (
    UPDATE {schema}.webhook_deliveries AS d
    SET state = g.state,
        due_at = coalesce(g.due_at, d.due_at),
        attempts = d.attempts + g.is_counted::int,
        step = g.step,
        refusals = g.refusals,
        error = g.error,
        leased_to = NULL,
        finished_at = CASE WHEN g.state <> 'pending' THEN now() END
    FROM given AS g
    WHERE d.number = g.number
        AND d.state = 'pending'
        AND (g.leased_to IS NULL OR d.leased_to = g.leased_to)
    RETURNING d.number, d.attempts, d.callback_id, d.position, d.state
),
followers AS (
    UPDATE {schema}.webhook_deliveries AS f SET due_at = now()
    FROM done
    WHERE done.state <> 'pending'
        AND f.callback_id = done.callback_id
        AND f.state = 'pending'
        AND f.position > done.position
        AND f.attempts = 0
        AND f.due_at > now()
        AND f.leased_to IS NULL
    RETURNING f.lane_id
),
attempts AS (
    INSERT INTO {schema}.webhook_attempts (delivery_number, attempt, at, ms, status, error, answer)
    SELECT number, done.attempts, g.at, g.ms, g.status, g.error, g.answer
    FROM done
    JOIN given AS g USING (number)
    WHERE g.is_counted
)
SELECT DISTINCT lane_id
FROM followers
