-- The access directory: derived from the streams of the organisations, written in the transaction that records them
-- (a revoked token is refused at once, whether or not a worker runs). `perezvon rebuild access_directory` rebuilds it.
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
    revoked_at      timestamptz,
    last_used_at    timestamptz
);
CREATE INDEX tokens_of ON {schema}.tokens (organization_id, id);
