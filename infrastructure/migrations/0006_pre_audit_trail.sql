-- Who did what, when, and why? One row for each event; `perezvon rebuild audit_trail` rebuilds the rows.
-- Times never decrease along the positions, so the order by time and position is the order of the log.
CREATE TABLE {schema}.audit_trail (
    position        bigint NOT NULL,
    stream          text COLLATE "C" NOT NULL,
    version         bigint NOT NULL,
    type            text COLLATE "C" NOT NULL,
    recorded_at     timestamptz NOT NULL,
    organization_id bigint,
    actor           text COLLATE "C",
    reason          text,
    causation       text,
    correlation     text
);
CREATE UNIQUE INDEX audit_trail_position ON {schema}.audit_trail (position);
CREATE INDEX audit_trail_time ON {schema}.audit_trail (organization_id, recorded_at, position);
-- One index has the times: a time is looked up in it as a position.
CREATE INDEX audit_trail_actor ON {schema}.audit_trail (organization_id, actor, position);
CREATE INDEX audit_trail_stream ON {schema}.audit_trail (organization_id, stream, position);
CREATE INDEX audit_trail_type ON {schema}.audit_trail (organization_id, type, position);
