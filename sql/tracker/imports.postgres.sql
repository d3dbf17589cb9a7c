-- Imports: what each database does in its own way.

-- name: lock_tables :run
-- PostgreSQL only: several write at once. An import numbers its rows itself and counts what came
-- in, so nobody else writes meanwhile.
LOCK TABLE pipelines, pipeline_stages, tasks, runs, leases, events, gate_results, artifacts,
           task_dependencies, task_assignments, kv_entries, otlp_batches, otlp_spans
        IN SHARE ROW EXCLUSIVE MODE;

-- name: move_sequences :run
-- PostgreSQL only: a sequence does not see ids that were given by hand.
SELECT setval('events_id_seq', GREATEST((SELECT MAX(id) FROM events), 1)),
       setval('gate_results_id_seq', GREATEST((SELECT MAX(id) FROM gate_results), 1)),
       setval('otlp_batches_id_seq', GREATEST((SELECT MAX(id) FROM otlp_batches), 1)),
       setval('otlp_spans_id_seq', GREATEST((SELECT MAX(id) FROM otlp_spans), 1));
