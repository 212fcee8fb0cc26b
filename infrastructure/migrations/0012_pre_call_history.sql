-- Which attempt does a call belong to? One row for each call that was ever started; `perezvon rebuild call_history` rebuilds
-- the rows. The result of the call is read from the callback's events. No constraints but unique indexes, as in 0005.
CREATE TABLE {schema}.call_history (
    call_id         uuid NOT NULL,
    organization_id bigint NOT NULL,
    callback_id     bigint NOT NULL,
    attempt         int NOT NULL
);
CREATE UNIQUE INDEX call_history_call ON {schema}.call_history (call_id);
