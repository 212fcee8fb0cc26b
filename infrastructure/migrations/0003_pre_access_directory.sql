-- The access directory: derived from the streams of the organisations, written in the transaction that records them
-- (a revoked token is refused at once, whether or not a worker runs). `perezvon rebuild access_directory` rebuilds it. The
-- service may only read these tables: record_access writes them.
CREATE TABLE {schema}.organizations (
    id              bigint PRIMARY KEY,
    name            text NOT NULL,
    settings        jsonb NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE TABLE {schema}.members (
    id              text COLLATE "C" PRIMARY KEY,
    organization_id bigint NOT NULL,
    name            text NOT NULL,
    role            text NOT NULL
);
CREATE INDEX members_of ON {schema}.members (organization_id, id);
CREATE TABLE {schema}.operators (
    organization_id bigint NOT NULL,
    number          int NOT NULL,
    key_hash        text COLLATE "C" UNIQUE,
    name            text NOT NULL,
    phone           text,
    member_id       text COLLATE "C",
    PRIMARY KEY (organization_id, number)
);
CREATE TABLE {schema}.tokens (
    id              text COLLATE "C" PRIMARY KEY,
    organization_id bigint NOT NULL,
    name            text,
    role            text NOT NULL,
    secret_hash     text NOT NULL,
    member_id       text COLLATE "C",
    issued_at       timestamptz NOT NULL,
    expires_at      timestamptz,
    revoked_at      timestamptz
);
CREATE INDEX tokens_of ON {schema}.tokens (organization_id, id);

-- When a token was last used, to half a minute. It is no fact: nothing is derived from it.
CREATE TABLE {schema}.token_uses (
    token_id     text COLLATE "C" PRIMARY KEY,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Appends the facts of one organisation and writes the directory in the same transaction. Ids, roles, hashes and times are
-- read from the facts, so that a row cannot say more than its event. Only personal names are passed beside them: "names" has
-- an element for each fact, null where there is none. Returns the verdict of the append function.
CREATE FUNCTION {schema}.record_access(
    organization bigint, version bigint, topics text[], states bytea[], names jsonb,
    actor text, reason text, causation text, correlation text
) RETURNS TABLE (verdict text, last_position bigint, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $body$
#variable_conflict use_variable
DECLARE
    size int[] := ARRAY[cardinality(topics)];
    stream text := 'organization/' || organization;
    n int;
    fact jsonb;
    person jsonb;
BEGIN
    -- A rebuild that swaps the tables holds this lock: wait for it before the log's lock is taken, not after.
    LOCK TABLE {schema}.organizations IN ROW EXCLUSIVE MODE;
    SELECT a.verdict, a.last_position, a.at INTO verdict, last_position, at
    FROM {schema}.stored_events_append(
        array_fill(1, size), array_fill(stream, size), ARRAY(SELECT generate_series(version + 1, version + size[1])),
        topics, states, array_fill(organization, size), array_fill(actor, size), array_fill(reason, size),
        array_fill(causation, size), array_fill(correlation, size)
    ) AS a;
    RETURN NEXT;
    IF verdict <> 'appended' THEN
        RETURN;
    END IF;
    FOR n IN 1 .. size[1] LOOP
        fact := convert_from(states[n], 'UTF8')::jsonb;
        person := names -> (n - 1);
        IF fact ->> 'type' IS DISTINCT FROM topics[n] THEN
            RAISE EXCEPTION 'the fact % is recorded as %', fact ->> 'type', topics[n] USING ERRCODE = 'check_violation';
        END IF;
        CASE topics[n]
            WHEN 'organization.created.v1' THEN
                INSERT INTO {schema}.organizations (id, name, settings, created_at)
                VALUES (organization, fact ->> 'name', fact -> 'settings', at);
            WHEN 'organization.settings_changed.v1' THEN
                UPDATE {schema}.organizations SET settings = fact -> 'settings' WHERE id = organization;
            WHEN 'organization.member_added.v1' THEN
                INSERT INTO {schema}.members (id, organization_id, name, role)
                VALUES (fact ->> 'member_id', organization, person ->> 'name', fact ->> 'role');
            WHEN 'organization.member_role_changed.v1' THEN
                UPDATE {schema}.members SET role = fact ->> 'role'
                WHERE id = fact ->> 'member_id' AND organization_id = organization;
            WHEN 'organization.member_removed.v1' THEN
                DELETE FROM {schema}.members WHERE id = fact ->> 'member_id' AND organization_id = organization;
            WHEN 'organization.operator_added.v1' THEN
                INSERT INTO {schema}.operators (organization_id, number, key_hash, name, phone, member_id)
                VALUES (organization, (fact ->> 'operator_number')::int, fact ->> 'key_hash', person ->> 'name',
                        person ->> 'number', fact ->> 'member_id');
            WHEN 'organization.operator_key_renewed.v1' THEN
                UPDATE {schema}.operators SET key_hash = fact ->> 'key_hash'
                WHERE organization_id = organization AND number = (fact ->> 'operator_number')::int;
            WHEN 'organization.operator_removed.v1' THEN
                DELETE FROM {schema}.operators
                WHERE organization_id = organization AND number = (fact ->> 'operator_number')::int;
            WHEN 'organization.token_issued.v1' THEN
                INSERT INTO {schema}.tokens
                    (id, organization_id, name, role, secret_hash, member_id, issued_at, expires_at)
                VALUES (fact ->> 'token_id', organization, fact ->> 'name', fact ->> 'role', fact ->> 'secret_hash',
                        fact ->> 'member_id', at, (fact ->> 'expires_at')::timestamptz);
            WHEN 'organization.token_revoked.v1' THEN
                UPDATE {schema}.tokens SET revoked_at = at
                WHERE id = fact ->> 'token_id' AND organization_id = organization;
            WHEN 'organization.webhook_secret_rotated.v1' THEN
                NULL; -- the secret is stored, encrypted, in a table of its own
        END CASE; -- a fact that is missing here is an error, and nothing is recorded
    END LOOP;
END $body$;
REVOKE ALL ON FUNCTION {schema}.record_access FROM PUBLIC;
