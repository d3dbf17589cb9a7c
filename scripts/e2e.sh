#!/bin/sh
# Walks through the whole API with curl, against a server of its own with a scratch database, and
# checks at the end that no route was left out. Needs curl, and a python that has tickets on PATH.
set -eu

token=e2e-token
scratch=$(mktemp -d)
answer=$scratch/answer
server=
request='the start'

finish() {
    code=$?
    trap - EXIT
    [ -z "$server" ] || { kill -TERM "$server" && wait "$server"; } 2>/dev/null || :
    if [ "$code" -ne 0 ]; then
        echo "e2e: failed at $request" >&2
        sed 's/^/e2e: server: /' "$scratch/log" >&2 || :
    fi
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' HUP INT TERM

fail() {
    echo "e2e: $*" >&2
    [ ! -s "$answer" ] || { echo "e2e: the answer was:" && head -c 2000 "$answer" && echo; } >&2
    exit 1
}

# Nothing of the caller's own settings reaches the service. Call it where it may replace the shell:
# in the background, so that signals reach the service itself, or in a pipe.
tickets() {
    exec env -i PATH="$PATH" HOME="$scratch" PYTHONPATH="${PYTHONPATH:-}" TICKETS_TOKEN="$token" \
        python -m tickets "$@"
}

# call METHOD PATH STATUS [BODY [HEADER]]
# Paths are written as `tickets routes` shows them: {task_id} stands for the variable task_id.
call() {
    request="$1 $2"
    echo "$1 ${2%%\?*}" >>"$scratch/walked"
    target=$(eval "printf %s \"$(printf %s "$2" | sed 's/{\([a-z_]*\)}/${\1}/g')\"")
    : >"$answer"
    status=$(curl -sS -o "$answer" -w '%{http_code}' -X "$1" "$url$target" \
        ${bearer:+-H "Authorization: Bearer $bearer"} \
        ${4+--data-binary "$4"} ${5+-H "$5"}) || fail "curl could not $request"
    [ "$status" = "$3" ] || fail "$request: status $status, expected $3"
}

# field NAME.NAME…: print a part of the last answer; .0 is the first item of an array.
field() {
    python -ISc '
import json, sys
value = json.load(open(sys.argv[1]))
for name in filter(None, sys.argv[2].split(".")):
    value = value[int(name)] if isinstance(value, list) else value[name]
print(value if isinstance(value, str) else json.dumps(value))' "$answer" "$1" 2>/dev/null ||
        fail "$request: the answer has no $1"
}

check() {
    found=$(field "$1")
    [ "$found" = "$2" ] || fail "$request: $1 is $found, expected $2"
}

# claim ROLE: take the next task, and write as its holder from then on.
claim() {
    bearer=$token
    call POST /leases/claim 200 '{"agent_id": "ada", "agent_role": "'"$1"'", "wait_ms": 5000}'
    run_id=$(field run.id)
    lease_id=$(field lease_id)
    bearer=$(field lease_token)
}

# Start

: >"$scratch/log"
tickets serve --port 0 --db "$scratch/tickets.db" --log-level warning \
    --linear-api-url http://127.0.0.1:1/graphql >"$scratch/log" 2>&1 &
server=$!
tries=0
until url=$(sed -n 's/.*listening \(http.*\)/\1/p' "$scratch/log") && [ -n "$url" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 300 ] && kill -0 "$server" 2>/dev/null || fail "the server did not start"
    sleep 0.1
done

# The service

bearer=
call GET /health 200
check status ok
call GET /ready 200
check status ready
call GET /openapi.json 200
check openapi 3.1.0
cp "$answer" "$scratch/openapi"
call GET /.well-known/openapi.json 200
cmp -s "$answer" "$scratch/openapi" || fail "the two OpenAPI documents differ"
call GET /docs 200
grep -qi '<html' "$answer" || fail "$request: no page"
call GET /tasks 401
check error.code unauthorized

# Pipelines and tasks

bearer=$token
call POST /pipelines 201 '{"name": "e2e", "definition": {
    "initial": "coding",
    "states": {"coding": {"agent_role": "coder"}, "review": {"agent_role": "reviewer"},
               "done": {"terminal": true}},
    "transitions": [
        {"from": "coding", "to": "review", "trigger": "submit", "required_gates": ["tests"]},
        {"from": "review", "to": "done", "trigger": "approve"}]}}'
pipeline_id=$(field id)
call GET /pipelines 200
check 0.name e2e
call GET '/pipelines/{pipeline_id}' 200
check definition.initial coding
task='{"pipeline_id": "'$pipeline_id'", "title": "Parse", "description": "the feed", "priority": 9}'
call POST /tasks 201 "$task" 'Idempotency-Key: one'
task_id=$(field id)
call POST /tasks 201 "$task" 'Idempotency-Key: one'
check id "$task_id"
call POST /tasks/bulk 201 '{"tasks": [
    {"pipeline_id": "'$pipeline_id'", "title": "Show", "description": "", "ref": "a"},
    {"pipeline_id": "'$pipeline_id'", "title": "Tell", "description": "", "depends_on_refs": ["a"]}]}'
second_id=$(field ids.0)
third_id=$(field ids.1)
call GET '/tasks?stage=coding&limit=2' 200
check items.0.id "$task_id"
cursor=$(field next_cursor)
call GET '/tasks?stage=coding&limit=2&cursor={cursor}' 200
check items.0.id "$third_id"
check next_cursor null
call PATCH '/tasks/{task_id}' 200 '{"metadata": {"lang": "py"}, "retry_policy": {"max_attempts": 2}}'
check metadata.lang py
call GET '/tasks/{task_id}' 200
check task_version 1
check available_transitions.0.trigger submit
(task_id=nothing; call GET '/tasks/{task_id}' 404; check error.code not_found)
call PUT '/tasks/{task_id}/run-state' 200 '{"run_id": "wf-1", "workflow_state": {"node": 2}}'
call GET '/tasks/{task_id}/run-state' 200
check workflow_state.node 2

# Dependencies and assignments

call POST '/tasks/{task_id}/dependencies' 201 '{"depends_on_task_id": "'"$second_id"'"}'
call POST '/tasks/{task_id}/dependencies' 409 '{"depends_on_task_id": "'"$second_id"'"}'
check error.code duplicate_dependency
call GET '/tasks/{task_id}/dependencies' 200
check 0.resolved false
call GET '/tasks/{task_id}/why?agent_id=ada' 200
check reasons.0.code blocked_by
depends_on_task_id=$second_id
call DELETE '/tasks/{task_id}/dependencies/{depends_on_task_id}' 200
check status deleted
call POST '/tasks/{task_id}/assignments' 201 '{"agent_id": "ada", "assigned_by": "grace"}'
call GET '/tasks/{task_id}/assignments' 200
check 0.active true
agent_id=ada
call DELETE '/tasks/{task_id}/assignments/{agent_id}' 200
check status unassigned

# An agent at work

claim coder
check task.id "$task_id"
check run.attempt 1
call POST '/leases/{lease_id}/heartbeat' 200
call POST '/runs/{run_id}/events' 201 '{"events": [{"kind": "plan"}, {"kind": "step", "data": 1}]}'
call GET '/runs/{run_id}/events' 200
check items.1.data 1
call POST '/runs/{run_id}/transition' 409 '{"trigger": "submit"}'
check error.code required_gates_not_passed
call POST '/runs/{run_id}/gates' 201 '{"gate": "tests", "status": "pass", "evidence": {"n": 3}}'
call GET '/runs/{run_id}/gates' 200
check 0.evidence.n 3
call POST '/runs/{run_id}/transition' 200 '{"trigger": "submit", "expected_stage": "coding",
    "expected_task_version": 1, "usage": {"tokens": 12}}'
check new_stage review
call POST '/leases/{lease_id}/heartbeat' 404

bearer=$token
call GET '/runs/{run_id}' 200
check status completed
check usage.tokens 12
call POST /artifacts 201 '{"run_id": "'"$run_id"'", "kind": "patch", "uri": "file:///1.diff"}'
call GET '/artifacts?run_id={run_id}' 200
check items.0.kind patch

# Release, failure, dead letter, requeue, cancel

claim reviewer
call POST '/runs/{run_id}/release' 200 '{"reason": "wrong machine"}'
claim reviewer
call POST '/runs/{run_id}/fail' 200 '{"error": "does not compile"}'
claim reviewer
call POST '/runs/{run_id}/fail' 200 '{"error": "does not compile"}'
bearer=$token
call GET '/tasks/{task_id}' 200
check dead_letter_reason max_attempts_exceeded
call POST '/tasks/{task_id}/requeue' 200 '{}'
check status requeued
claim reviewer
check run.attempt 5
call POST '/runs/{run_id}/transition' 200 '{"trigger": "approve"}'
check new_stage done
bearer=$token
call GET '/tasks/{task_id}/runs' 200
check items.1.status released
check items.4.status completed
call GET '/tasks/{task_id}/events' 200
check items.0.kind plan
task_id=$third_id
call POST '/tasks/{task_id}/cancel' 200
check status cancelled
call POST /leases/claim 204 '{"agent_id": "ada", "agent_role": "nobody"}'
[ ! -s "$answer" ] || fail "$request: 204 has a body"

# Tickets

call POST /workspaces 201 '{"id": "team", "name": "The team"}'
workspace_id=team team_id=coders
call POST /workspaces 409 '{"id": "team", "name": "The team"}'
check error.code workspace_exists
call GET /workspaces 200
check items.0.id team
call GET '/workspaces/{workspace_id}' 200
check status active
call PATCH '/workspaces/{workspace_id}' 200 '{"name": "Our team"}'
check name 'Our team'
agent_id=ada
call PUT '/workspaces/{workspace_id}/agents/{agent_id}' 201 '{"role": "coder"}'
call PUT '/workspaces/{workspace_id}/agents/{agent_id}' 200 '{"role": "coder", "enabled": false}'
call GET '/workspaces/{workspace_id}/agents/{agent_id}' 200
check enabled false
call GET '/workspaces/{workspace_id}/agents' 200
check items.0.id ada
call POST /tickets 201 '{"workspace_id": "team", "title": "Mend the feed"}'
check status open
ticket_id=$(field id)
call PUT '/workspaces/{workspace_id}/teams/{team_id}' 201 '{"name": "Coders", "agent_ids": ["ada"]}'
call GET '/workspaces/{workspace_id}/teams/{team_id}' 200
check agent_ids.0 ada
call GET '/workspaces/{workspace_id}/teams' 200
call DELETE '/workspaces/{workspace_id}/teams/{team_id}' 204
call GET '/tickets?workspace_id=team&q=FEED' 200
check items.0.id "$ticket_id"
mine='X-Workspace-Id: team'
call POST '/tickets/{ticket_id}/labels' 200 '{"labels": ["bug"]}' "$mine"
label=BUG
call DELETE '/tickets/{ticket_id}/labels/{label}?workspace_id=team' 200
check labels '[]'
call POST '/tickets/{ticket_id}/collaborators' 201 '{"collaborator_id": "ada"}' "$mine"
call GET '/tickets/{ticket_id}/collaborators?workspace_id=team' 200
collaborator_id=ada
call DELETE '/tickets/{ticket_id}/collaborators/{collaborator_id}?workspace_id=team' 204
call POST '/tickets/{ticket_id}/comments' 201 '{"body": "Since Tuesday"}' "$mine"
call GET '/tickets/{ticket_id}/comments?workspace_id=team' 200
check items.0.author user
call GET '/tickets/{ticket_id}/channel?workspace_id=team' 200
check kind ticket
first_id=$ticket_id
call POST /tickets 201 '{"title": "Show it"}' "$mine"
ticket_id=$(field id)
link='{"type": "blocks", "direction": "incoming", "target_ticket_id": "'"$first_id"'"}'
call POST '/tickets/{ticket_id}/links' 201 "$link" "$mine"
link_id=$(field id)
call GET '/tickets/{ticket_id}/links?workspace_id=team' 200
call POST '/tickets/{ticket_id}/assign' 200 '{"agent_id": "ada"}' "$mine"
check dispatch.wait_reason blocked_by_dependency
call POST '/tickets/{ticket_id}/dispatch?workspace_id=team' 200
call GET '/tickets/{ticket_id}/dispatches?workspace_id=team' 200
call PUT '/workspaces/{workspace_id}/agents/{agent_id}' 200 '{"role": "coder"}'
agent_id=grace
call PUT '/workspaces/{workspace_id}/agents/{agent_id}' 201 '{"role": "coder"}'
call POST '/tickets/{ticket_id}/delegate' 200 \
    '{"delegated_by_agent_id": "ada", "agent_id": "grace"}' "$mine"
call POST '/tickets/{ticket_id}/unassign' 200 '{}' "$mine"
check dispatch.state none
agent_id=ada
call DELETE '/tickets/{ticket_id}/links/{link_id}?workspace_id=team' 204
call GET '/ticket-events?workspace_id=team&type=TicketDelegated' 200
check items.0.data.to_agent_id grace
ticket_id=$first_id
call GET '/tickets/{ticket_id}?workspace_id=team' 200
check children.total 0
call GET '/tickets/{ticket_id}' 400
check error.code workspace_required
call PATCH '/tickets/{ticket_id}' 200 '{"priority": "high"}' 'X-Workspace-Id: team'
check priority high
call POST '/tickets/{ticket_id}/transition' 200 \
    '{"to": "in_progress", "external": true}' 'X-Workspace-Id: team'
call POST '/tickets/{ticket_id}/transition' 200 '{"to": "done"}' 'X-Workspace-Id: team'
check dispatch.state ended
call GET '/tickets/{ticket_id}/events?workspace_id=team&type=TicketCompleted' 200
check items.0.data.generation 0
call DELETE '/workspaces/{workspace_id}/agents/{agent_id}' 204

# Linear, which is not there: nobody listens at its address

linear=/workspaces/{workspace_id}/integrations/linear
call GET "$linear" 404
check error.code integration_not_configured
call PUT "$linear" 201 '{"enabled": true, "auth_kind": "api_key", "api_key": "lin_api_key",
    "team_id": "engineering", "webhook_secrets": ["whsec_secret"]}'
check api_key.last4 _key
call GET "$linear" 200
check status ok
call POST "$linear/verify" 502
check error.code provider_error
call POST "$linear/reconcile" 202
call POST /tickets 201 '{"workspace_id": "team", "title": "Mirror me", "provider": "linear"}'
ticket_id=$(field id)
check sync.state pending
call GET "$linear/outbox" 200
check items.0.op issue_create
call GET '/tickets/{ticket_id}/sync?workspace_id=team' 200
call POST '/tickets/{ticket_id}/sync?workspace_id=team' 202
call POST '/tickets/{ticket_id}/sync/resolve?workspace_id=team' 409 '{"prefer": "local"}'
check error.code no_conflict
call POST '/webhooks/linear/{workspace_id}' 401 '{"type": "Issue"}'
check error.code invalid_signature
webhook='{"type": "Project", "webhookTimestamp": '$(date +%s)000'}'
signature=$(python -ISc '
import hmac, sys
print(hmac.new(b"whsec_secret", sys.argv[1].encode(), "sha256").hexdigest())' "$webhook")
call POST '/webhooks/linear/{workspace_id}' 200 "$webhook" "Linear-Signature: $signature"
check status ignored
call DELETE "$linear" 204

# Store, traces, what operators see

namespace=team%20alpha key=style%2F1
call PUT '/store/{namespace}/{key}' 204 '{"value": {"tone": "short sentences"}}'
call GET '/store/{namespace}/{key}' 200
check namespace 'team alpha'
check key style/1
call GET '/store/search?q=sentences&filter_path=%24.tone' 200
check 0.value.tone 'short sentences'
call GET '/store/{namespace}?prefix=style' 200
check 0.key style/1
call DELETE '/store/{namespace}/{key}' 204
call GET '/store/{namespace}/{key}' 404
call DELETE '/store/{namespace}' 204
spans='{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "compile",
    "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
    "startTimeUnixNano": "1700000000000000000", "attributes": [
        {"key": "nulltickets.run_id", "value": {"stringValue": "'$run_id'"}}]}]}]}]}'
call POST /v1/traces 200 "$spans" 'Content-Type: application/json'
check accepted_spans 1
call POST /otlp/v1/traces 200 "$spans" 'Content-Type: application/json'
check stored json
call GET '/traces?run_id={run_id}' 200
check items.1.name compile
call GET '/ops/queue' 200
check roles.0.role coder
check roles.0.claimable_count 1
call GET '/changes?kind=task.claimed&limit=1' 200
check items.0.data.agent_id ada

# The task ledger

event='"actor": "importer", "source": "nightly", "req": "import/7"'
call POST /ledger/events 201 '{"state": "received", '"$event"', "event_id": "e1"}'
check snapshot.state RECEIVED
call POST /ledger/events 200 '{"state": "RECEIVED", '"$event"', "event_id": "e1"}'
check duplicate true
call POST /ledger/events 409 '{"state": "done", '"$event"'}'
check error.code invalid_transition
call POST /ledger/events/bulk 201 '{"events": [{"state": "RUNNING", '"$event"', "stage": "reading"}]}'
check items.0.n 2
req=import%2F7
call GET '/ledger/tasks/{req}' 200
check stage reading
call POST '/ledger/tasks/{req}/touch' 201 '{"actor": "importer", "source": "nightly"}'
call GET '/ledger/tasks/{req}/events' 200
check items.2.state RUNNING
req=task:$third_id
call GET '/ledger/tasks/{req}' 200
check state CANCELLED
call GET '/ledger/tasks?state=running&prefix=import' 200
check items.0.req import/7
call GET '/ledger/events?after_seq=0&limit=1' 200
check items.0.state RECEIVED
call GET '/ledger/stale?running_ms=60000' 200
check thresholds.RUNNING 60000
call POST /ledger/watchdog/sweep 200 '{"timeouts": {"RUNNING": 3600000}}'
check checked 0
message='{"channel": "chat", "req": "import/7", "state": "RUNNING"}'
call POST /ledger/deliveries 201 "$message"
delivery_id=$(field delivery_id)
call POST /ledger/deliveries 200 "$message"
check reason duplicate
call POST '/ledger/deliveries/{delivery_id}/fail' 200
check status failed
call GET '/ledger/deliveries?channel=chat' 200
check items.0.suppressed_count 1
call GET /ledger/verify 200
check ok true
call POST /ledger/rebuild 200
check changed 0
call GET /metrics 200
grep -q '^tickets_http_requests_total' "$answer" || fail "$request: no metrics"

# Nothing left out, and a quiet end

request='the end'
: >"$answer"
tickets routes | awk '{print $1, $2}' | sort >"$scratch/routes"
sort -u "$scratch/walked" >"$scratch/walked.sorted"
diff "$scratch/routes" "$scratch/walked.sorted" >"$scratch/difference" ||
    fail "routes (<) and walk (>) differ: $(grep '^[<>]' "$scratch/difference")"
kill -TERM "$server"
wait "$server" || fail "the server ended with status $?"
server=
echo "e2e: all $(wc -l <"$scratch/routes" | tr -d ' ') routes work"
