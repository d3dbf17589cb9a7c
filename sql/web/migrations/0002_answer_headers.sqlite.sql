-- ETag and Location of the answer, as an object; none where it had neither.
ALTER TABLE idempotency_keys ADD COLUMN response_headers_json TEXT;
