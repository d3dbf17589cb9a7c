-- Answers to writes that carried an Idempotency-Key, each written with the work it answers.

CREATE TABLE idempotency_keys (
    principal       TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    method          TEXT    NOT NULL,
    route           TEXT    NOT NULL,
    request_hash    BLOB    NOT NULL,
    response_status INTEGER NOT NULL,
    response_json   TEXT    NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (principal, key, method, route)
) STRICT;

CREATE INDEX idx_idempotency_keys_created ON idempotency_keys (created_at_ms);
