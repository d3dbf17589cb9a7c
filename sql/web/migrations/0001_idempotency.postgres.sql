-- Answers to writes that carried an Idempotency-Key, each written with the work it answers.

CREATE TABLE idempotency_keys (
    principal       TEXT COLLATE "C" NOT NULL,
    key             TEXT COLLATE "C" NOT NULL,
    method          TEXT COLLATE "C" NOT NULL,
    route           TEXT COLLATE "C" NOT NULL,
    request_hash    BYTEA   NOT NULL,
    response_status BIGINT  NOT NULL,
    response_json   TEXT    NOT NULL,
    created_at_ms   BIGINT  NOT NULL,
    PRIMARY KEY (principal, key, method, route)
);

CREATE INDEX idx_idempotency_keys_created ON idempotency_keys (created_at_ms);
