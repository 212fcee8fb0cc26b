WITH facts AS MATERIALIZED (
    SELECT split_part(originator_id, '/', 2)::bigint AS organization_id, notification_id AS position, recorded_at AS at,
        topic, convert_from(state, 'UTF8')::jsonb AS fact
    FROM {log}
    WHERE originator_id >= 'organization/' AND originator_id < 'organization0' -- "0" follows "/" in ASCII
),
organizations AS (
    SELECT organization_id AS id, fact ->> 'name' AS name, at AS created_at
    FROM facts
    WHERE topic = 'organization.created.v1'
),
settings AS (
    SELECT DISTINCT ON (organization_id) organization_id AS id, fact -> 'settings' AS settings
    FROM facts
    WHERE topic IN ('organization.created.v1', 'organization.settings_changed.v1')
    ORDER BY organization_id, position DESC
),
members AS (
    SELECT DISTINCT ON (fact ->> 'member_id') fact ->> 'member_id' AS id, organization_id, fact ->> 'role' AS role
    FROM facts
    WHERE topic LIKE 'organization.member\_%'
    ORDER BY fact ->> 'member_id', position DESC
),
added AS (
    SELECT organization_id, (fact ->> 'operator_number')::int AS number, fact ->> 'member_id' AS member_id
    FROM facts
    WHERE topic = 'organization.operator_added.v1'
),
operators AS (
    SELECT DISTINCT ON (organization_id, (fact ->> 'operator_number')::int) organization_id,
        (fact ->> 'operator_number')::int AS number, fact ->> 'key_hash' AS key_hash
    FROM facts
    WHERE topic LIKE 'organization.operator\_%'
    ORDER BY organization_id, (fact ->> 'operator_number')::int, position DESC
),
revoked AS (
    SELECT fact ->> 'token_id' AS id, max(at) AS at
    FROM facts
    WHERE topic = 'organization.token_revoked.v1'
    GROUP BY 1
),
tokens AS (
    SELECT f.fact ->> 'token_id' AS id, f.organization_id, f.fact ->> 'name' AS name, f.fact ->> 'role' AS role,
        f.fact ->> 'secret_hash' AS secret_hash, f.fact ->> 'member_id' AS member_id, f.at AS issued_at,
        (f.fact ->> 'expires_at')::timestamptz AS expires_at, r.at AS revoked_at
    FROM facts AS f
    LEFT JOIN revoked AS r ON r.id = f.fact ->> 'token_id'
    WHERE f.topic = 'organization.token_issued.v1'
)
SELECT 'organizations', count(*)
FROM organizations AS folded
FULL JOIN {schema}.organizations AS live USING (id)
LEFT JOIN settings AS s USING (id)
WHERE (folded.name, folded.created_at) IS DISTINCT FROM (live.name, live.created_at)
    OR NOT coalesce(live.settings @> s.settings, false)
UNION ALL
SELECT 'members', count(*)
FROM (SELECT id, organization_id, role FROM members WHERE role IS NOT NULL) AS folded -- the last fact of a removed one has none
FULL JOIN {schema}.members AS live USING (id)
WHERE (folded.organization_id, folded.role) IS DISTINCT FROM (live.organization_id, live.role)
UNION ALL
SELECT 'operators', count(*)
FROM (
    SELECT o.organization_id, o.number, o.key_hash, a.member_id
    FROM operators AS o
    LEFT JOIN added AS a USING (organization_id, number)
    WHERE o.key_hash IS NOT NULL -- the last fact of a removed one has none
) AS folded
FULL JOIN {schema}.operators AS live USING (organization_id, number)
WHERE (folded.key_hash, folded.member_id) IS DISTINCT FROM (live.key_hash, live.member_id)
UNION ALL
SELECT 'tokens', count(*)
FROM tokens AS folded
FULL JOIN {schema}.tokens AS live USING (id)
WHERE (folded.organization_id, folded.name, folded.role, folded.secret_hash, folded.member_id, folded.issued_at,
       folded.expires_at, folded.revoked_at)
    IS DISTINCT FROM (live.organization_id, live.name, live.role, live.secret_hash, live.member_id, live.issued_at,
                      live.expires_at, live.revoked_at)
