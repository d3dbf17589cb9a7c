-- Gate results: what a quality check said of one run.
--
-- Invariants
--   append-only; the row with the highest id for a run and gate is the gate's state.

-- name: append :value
-- uses: primary key
INSERT INTO gate_results (run_id, task_id, gate, status, evidence_json, actor, ts_ms)
VALUES (:run_id, :task_id, :gate, :status, :evidence_json, :actor, :now_ms)
RETURNING id;

-- name: of_run :many
-- uses: idx_gate_results_run
SELECT id, run_id, task_id, gate, status, evidence_json, actor, ts_ms
  FROM gate_results
 WHERE run_id = :run_id
   AND id > :after_id
 ORDER BY id
 LIMIT :limit;

-- name: newest :many
-- uses: idx_gate_results_run
-- In order of ids, so that the last row for a gate is its state.
SELECT gate, status
  FROM gate_results
 WHERE run_id = :run_id
 ORDER BY id;
