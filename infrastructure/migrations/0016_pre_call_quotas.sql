-- Calls that each organisation has started on its present day, in its time zone: counted by the dispatcher, in the
-- transaction that starts them.
CREATE TABLE {schema}.organization_calls (
    organization_id bigint PRIMARY KEY,
    day             date NOT NULL,
    calls           bigint NOT NULL
) WITH (fillfactor = 50);

-- Attempts of the last hour to each phone line, where attempts to a number are limited; the dispatcher deletes older ones.
CREATE TABLE {schema}.line_attempts (
    line            bigint NOT NULL, -- application/phone_line_key.py
    started_at      timestamptz NOT NULL
);
CREATE INDEX line_attempts_line ON {schema}.line_attempts (line, started_at);
CREATE INDEX line_attempts_age ON {schema}.line_attempts USING brin (started_at);

-- Callbacks that wait for a number: counted when another one to it is scheduled.
CREATE INDEX timetable_b_line ON {schema}.timetable (b_line);
