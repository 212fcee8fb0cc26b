-- The checkpoint of each projection and policy. Its row is the leader's lock: each batch's transaction locks it with
-- FOR UPDATE SKIP LOCKED.
CREATE TABLE {schema}.checkpoints (
    name       text COLLATE "C" PRIMARY KEY,
    position   bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A stream of which a handler could not process an event: from this version on its events wait for `perezvon retry-parked`.
CREATE TABLE {schema}.parked_streams (
    name      text COLLATE "C" NOT NULL,
    stream    text COLLATE "C" NOT NULL,
    version   bigint NOT NULL,
    position  bigint NOT NULL,
    error     text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, stream)
);
