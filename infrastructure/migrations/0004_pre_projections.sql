-- Where each projection stands. Leadership is the row itself, taken FOR UPDATE SKIP LOCKED in each batch's transaction.
CREATE TABLE {schema}.checkpoints (
    name       text COLLATE "C" PRIMARY KEY,
    position   bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A stream that a projection could not digest: from this version on its events wait for `perezvon retry-parked`.
CREATE TABLE {schema}.parked_streams (
    name      text COLLATE "C" NOT NULL,
    stream    text COLLATE "C" NOT NULL,
    version   bigint NOT NULL,
    position  bigint NOT NULL,
    error     text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, stream)
);
