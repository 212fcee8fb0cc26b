-- Deliveries to receivers, and their results (kept for 30 days). Their ids are derived from the event's id, so that a
-- message is stored once, however often its event is handled.

-- A lane is a bulkhead: everything that goes to one host for one organisation. The holder of its lease delivers; a higher
-- fencing token voids the results of earlier holders. The breaker's state is stored here, so that it survives workers.
--
-- Before ready_at there is nothing to send. It may be too early, never too late: a transaction that makes a delivery due
-- lowers it; only the release of the lane raises it, under a lock that waits for such transactions.
CREATE TABLE {schema}.webhook_lanes (
    id              uuid PRIMARY KEY, -- UUIDv5 of organisation and host
    organization_id bigint NOT NULL,
    host            text COLLATE "C" NOT NULL, -- in lower case and ASCII, without port and final dot
    has_answered    boolean NOT NULL DEFAULT false, -- with any status, ever
    ready_at        timestamptz NOT NULL,
    fence           bigint NOT NULL DEFAULT 0,
    lease_until     timestamptz NOT NULL DEFAULT 'epoch',
    released_at     timestamptz NOT NULL DEFAULT now(), -- the last lease: an idle lane is deleted after its deliveries
    paused_until    timestamptz NOT NULL DEFAULT 'epoch', -- requested by Retry-After
    open_until      timestamptz NOT NULL DEFAULT 'epoch', -- set by the breaker
    opened          int NOT NULL DEFAULT 0, -- how often in a row the breaker opened
    failures        int NOT NULL DEFAULT 0, -- in a row
    window_since    timestamptz NOT NULL DEFAULT 'epoch',
    window_requests int NOT NULL DEFAULT 0,
    window_failures int NOT NULL DEFAULT 0,
    in_flight_max   int NOT NULL DEFAULT 32 -- lower for a while after the breaker closed
) WITH (fillfactor = 50);
CREATE INDEX webhook_lanes_ready ON {schema}.webhook_lanes (organization_id, has_answered, ready_at)
    WHERE ready_at < 'infinity';
CREATE INDEX webhook_lanes_oldest ON {schema}.webhook_lanes (ready_at) WHERE ready_at < 'infinity';

CREATE TABLE {schema}.webhook_deliveries (
    number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text COLLATE "C" NOT NULL,
    organization_id bigint NOT NULL,
    lane_id         uuid NOT NULL,
    callback_id     bigint NOT NULL, -- deliveries of one callback are sent in the order of their positions
    kind            text COLLATE "C" NOT NULL,
    url             text NOT NULL,
    sequence        bigint NOT NULL, -- the version of the event in its stream
    position        bigint NOT NULL, -- of the event in the log
    recorded_at     timestamptz NOT NULL, -- of the event
    body            bytea NOT NULL,
    state           text COLLATE "C" NOT NULL DEFAULT 'pending',
    due_at          timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    attempts        int NOT NULL DEFAULT 0, -- all of them
    step            int NOT NULL DEFAULT 0, -- of the schedule, which a resend restarts
    refusals        int NOT NULL DEFAULT 0, -- 4xx responses in a row
    error           text COLLATE "C", -- why the last attempt failed
    finished_at     timestamptz,
    leased_to       uuid -- the process that makes the first attempt itself, until due_at
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX webhook_deliveries_id ON {schema}.webhook_deliveries (id);
CREATE INDEX webhook_deliveries_due ON {schema}.webhook_deliveries (lane_id, due_at, position) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_order ON {schema}.webhook_deliveries (callback_id, position) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_expiry ON {schema}.webhook_deliveries (organization_id, expires_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_of ON {schema}.webhook_deliveries (organization_id, number);
CREATE INDEX webhook_deliveries_of_callback ON {schema}.webhook_deliveries (callback_id, number);
CREATE INDEX webhook_deliveries_undelivered
    ON {schema}.webhook_deliveries (organization_id, state, number) WHERE state <> 'delivered';

CREATE TABLE {schema}.webhook_attempts (
    delivery_number bigint NOT NULL,
    attempt         int NOT NULL,
    at              timestamptz NOT NULL,
    ms              int NOT NULL,
    status          int, -- none when there was no response
    error           text COLLATE "C", -- none when it was delivered
    answer          bytea NOT NULL, -- the first bytes of the response's body
    PRIMARY KEY (delivery_number, attempt)
);

-- Signing secrets, encrypted. The one of an organisation with the highest number is current; older ones also sign until
-- they expire.
CREATE TABLE {schema}.webhook_secrets (
    organization_id bigint NOT NULL,
    number          int NOT NULL,
    sealed          bytea NOT NULL,
    made_at         timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (organization_id, number)
);
