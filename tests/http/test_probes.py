"""The conformance probes of the wire contract, one row each.

Where our answer is not that of the reference, the row names the defect that it mends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import API_TOKEN, Client, FrozenClock
from tests.factories import REVIEW, SIMPLE, Factory, Json, bearer

GATED: Json = {
    **SIMPLE,
    "transitions": [
        {"from": "todo", "to": "done", "trigger": "complete", "required_gates": ["g1", "g2"]}
    ],
}
LOOP: Json = {
    **SIMPLE,
    "transitions": [
        *SIMPLE["transitions"],
        {"from": "todo", "to": "todo", "trigger": "again"},
    ],
}


@dataclass
class World:
    """A server without and one with an API token, on one database."""

    client: Client
    secured: Client
    make: Factory
    clock: FrozenClock

    def answer(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """Return the status, with the error code where there is one."""
        raw = how.pop("raw", None)
        client = self.secured if how.pop("secured", False) else self.client
        token, key = how.pop("token", None), how.pop("key", None)
        headers = {**(bearer(token) if token is not None else {}), **how.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        request = client.RequestClass.blank(path, method=method, headers=headers)
        if raw is not None:
            request.body = raw
        elif body is not None:
            request.json = body
        response = client.do_request(request, expect_errors=True)
        if response.status_int >= 400:
            return response.status_int, response.json["error"]["code"]
        return response.status_int

    def get(self, path: str) -> Any:
        return self.client.get(path, status=200).json

    def claim_status(self, **fields: Any) -> Any:
        body = {"agent_id": "a1", "agent_role": "coder", **fields}
        return self.answer("POST", "/leases/claim", body)

    def on_run(self, claim: Json, part: str, body: Json, **how: Any) -> Any:
        how.setdefault("token", claim["lease_token"])
        return self.answer("POST", f"/runs/{claim['run']['id']}/{part}", body, **how)

    def heartbeat(self, claim: Json, **how: Any) -> Any:
        how.setdefault("token", claim["lease_token"])
        return self.answer("POST", f"/leases/{claim['lease_id']}/heartbeat", **how)

    def task_body(self, **fields: Any) -> Json:
        return {
            "pipeline_id": self.make.pipeline(),
            "title": "t",
            "description": "d",
            **fields,
        }

    def entry(self, value: Any) -> None:
        self.client.put_json(f"/store/ns/{uuid4()}", {"value": value}, status=204)


def slashes(w: World) -> Any:
    return [w.answer("GET", path) for path in ("/tasks/", "//tasks//", "/pipelines/")]


def one_name_twice(w: World) -> Any:
    body = {"name": "p", "definition": SIMPLE}
    return [w.answer("POST", "/pipelines", body) for _ in range(2)]


def odd_definitions(w: World) -> Any:
    definitions: tuple[Any, ...] = ("{}", None, {})
    return [
        w.answer("POST", "/pipelines", {"name": "p", "definition": definition})
        for definition in definitions
    ]


def titles(w: World) -> Any:
    without = w.task_body()
    del without["title"]
    bodies = (without, w.task_body(title=None), w.task_body(title=5))
    return [w.answer("POST", "/tasks", body) for body in bodies]


def priorities(w: World) -> Any:
    return [
        w.answer("POST", "/tasks", w.task_body(priority=priority))
        for priority in ("7", 5.0, 5.5, 2**63)
    ]


def bad_dependencies(w: World) -> Any:
    a = w.make.task()
    answers = [
        w.answer("POST", "/tasks", w.task_body(dependencies=dependencies))
        for dependencies in ([a, a], ["nope"])
    ]
    return answers, len(w.get("/tasks")["items"])


def bad_item_in_bulk(w: World) -> Any:
    items = [w.task_body(), w.task_body(title=None)]
    return w.answer("POST", "/tasks/bulk", {"tasks": items}), len(w.get("/tasks")["items"])


def limits(w: World) -> Any:
    return [w.answer("GET", f"/tasks?limit={limit}") for limit in ("0", "1001", "abc")]


def walk(w: World) -> Any:
    pipeline_id = w.make.pipeline()
    for _ in range(10):
        w.make.task(pipeline_id)
    seen, cursor = 0, ""
    while True:
        page = w.get(f"/tasks?limit=3{cursor}")
        seen += len(page["items"])
        if page["next_cursor"] is None:
            return seen
        cursor = f"&cursor={page['next_cursor']}"


def cursors(w: World) -> Any:
    return [
        w.answer("GET", f"/tasks?cursor={cursor}")
        for cursor in ("abc", "1:", ":1", "1%3Ax", "1:x")
    ]


def encoded_stage(w: World) -> Any:
    stage = "in review"
    definition = {
        "initial": stage,
        "states": {stage: {}, "done": {"terminal": True}},
        "transitions": [{"from": stage, "to": "done", "trigger": "t"}],
    }
    w.make.task(w.make.pipeline(definition))
    return len(w.get("/tasks?stage=in%20review")["items"])


def unknown_roles(w: World) -> Any:
    w.make.task()
    return [w.claim_status(agent_role=role) for role in ("nobody", "")]


def no_ttl(w: World) -> Any:
    w.make.task()
    refusal = w.claim_status(lease_ttl_ms=0)
    claim = w.make.claim(lease_ttl_ms=1)
    w.clock.advance(ms=1)

    def late() -> Any:
        return [
            w.heartbeat(claim),
            w.on_run(claim, "events", {"kind": "k"}),
            w.on_run(claim, "transition", {"trigger": "complete"}),
            w.on_run(claim, "fail", {"error": ""}),
        ]

    before = late()
    w.make.claim(agent="a2")
    return refusal, before, late()


def wrong_token_after_expiry(w: World) -> Any:
    w.make.task()
    claim = w.make.claim(lease_ttl_ms=1)
    w.clock.advance(ms=1)
    return w.heartbeat(claim, token="0" * 64)


def unknown_run(w: World) -> Any:
    return [
        w.answer("POST", "/runs/nope/fail", {"error": ""}, token=token)
        for token in ("0" * 64, "xyz")
    ]


def heartbeat_with_a_bad_body(w: World) -> Any:
    w.make.task()
    return w.heartbeat(w.make.claim(), raw=b"{bad")


def event_data(w: World) -> Any:
    w.make.task()
    claim = w.make.claim()
    for data in (None, 5, [1]):
        w.make.event(claim, data=data)
    return [e["data"] for e in w.get(f"/runs/{claim['run']['id']}/events")["items"]]


def everything_wrong(w: World) -> Any:
    w.make.task()
    body = {"trigger": "nope", "expected_stage": "x", "expected_task_version": 9}
    return w.on_run(w.make.claim(), "transition", body)


def self_loop(w: World) -> Any:
    w.make.task(w.make.pipeline(LOOP))
    w.make.transition(w.make.claim(), "again")
    return w.make.claim()["task"]["task_version"]


def heartbeat_after_refusal(w: World) -> Any:
    w.make.task()
    claim = w.make.claim()
    w.on_run(claim, "transition", {"trigger": "nope"})
    return w.heartbeat(claim)


def three_failures(w: World) -> Any:
    policy = {"max_attempts": 3, "retry_delay_ms": 400}
    task_id = w.make.task(retry_policy=policy)
    claims = []
    for _ in range(3):
        w.make.fail(w.make.claim())
        w.clock.advance(ms=399)
        claims.append(w.claim_status())
        w.clock.advance(ms=1)
    kinds = [e["kind"] for e in w.get(f"/tasks/{task_id}/events")["items"]]
    return kinds, claims, w.claim_status()


def unknown_dead_letter_stage(w: World) -> Any:
    policy = {"max_attempts": 1, "dead_letter_stage": "x"}
    return w.answer("POST", "/tasks", w.task_body(retry_policy=policy))


def six_expiries(w: World) -> Any:
    w.make.task(retry_policy={"max_attempts": 2})

    def expire(*, alive: bool) -> Json:
        claim = w.make.claim(lease_ttl_ms=1)
        if alive:
            w.make.event(claim)
        w.clock.advance(ms=1)
        return claim

    for _ in range(6):
        expire(alive=False)
    attempt = expire(alive=True)["run"]["attempt"]
    expire(alive=True)
    return attempt, w.claim_status()


def two_cycle(w: World) -> Any:
    a, b = w.make.task(), w.make.task()
    edges = [
        w.answer("POST", f"/tasks/{x}/dependencies", {"depends_on_task_id": y})
        for x, y in ((a, b), (b, a))
    ]
    return edges, w.claim_status()


def blocked_in_front(w: World) -> Any:
    pipeline_id = w.make.pipeline()
    free = w.make.task(pipeline_id, priority=1)
    for _ in range(20):
        w.make.task(pipeline_id, priority=10, dependencies=[free])
    return w.make.claim()["task"]["id"] == free


def three_assignments(w: World) -> Any:
    task_id = w.make.task()
    for agent in ("a1", "a2", "a1"):
        w.answer("POST", f"/tasks/{task_id}/assignments", {"agent_id": agent})
    rows = w.get(f"/tasks/{task_id}/assignments")
    return len(rows), sum(row["active"] for row in rows)


def unassign_twice(w: World) -> Any:
    path = f"/tasks/{w.make.task(assigned_agent_id='a1')}/assignments/a1"
    return [w.answer("DELETE", path) for _ in range(2)]


def per_state(w: World) -> Any:
    pipeline_id = w.make.pipeline()
    for _ in range(4):
        w.make.task(pipeline_id)
    limits: list[Any] = [1, 1, 0, -1, "1", None]
    return [w.claim_status(concurrency={"per_state": {"todo": limit}}) for limit in limits]


def artifact_of_nothing(w: World) -> Any:
    body = {"task_id": "nope", "kind": "k", "uri": "u"}
    return w.answer("POST", "/artifacts", body)


def gate_statuses(w: World) -> Any:
    w.make.task()
    claim = w.make.claim()
    return [
        w.on_run(claim, "gates", {"gate": "g", "status": status}) for status in ("PASS", True)
    ]


def gates_in_turn(w: World) -> Any:
    w.make.task(w.make.pipeline(GATED))
    claim = w.make.claim()

    def report(gate: str, status: str) -> None:
        w.on_run(claim, "gates", {"gate": gate, "status": status})

    def transition() -> Any:
        return w.on_run(claim, "transition", {"trigger": "complete"})

    report("g1", "pass")
    answers = [transition()]
    report("g2", "pass")
    report("g2", "fail")
    answers.append(transition())
    report("g2", "pass")
    return [*answers, transition()]


def gates_of_a_failed_run(w: World) -> Any:
    w.make.task(w.make.pipeline(GATED))
    claim = w.make.claim()
    for gate in ("g1", "g2"):
        w.on_run(claim, "gates", {"gate": gate, "status": "pass"})
    w.make.fail(claim)
    return w.on_run(w.make.claim(), "transition", {"trigger": "complete"})


def encoded_names(w: World) -> Any:
    path = "/store/team%20alpha/key%2F1"
    w.client.put_json(path, {"value": 1}, status=204)
    entry = w.get(path)
    return entry["namespace"], entry["key"]


def reserved(w: World) -> Any:
    return w.answer("PUT", "/store/search/k", {"value": 1})


def empty_queries(w: World) -> Any:
    return [w.answer("GET", f"/store/search{query}") for query in ("", "?q=", "?q=+")]


def literal_queries(w: World) -> Any:
    w.entry("this AND that")
    queries = ("AND", "%22", "*", "NEAR(a+b)")
    return [len(w.get(f"/store/search?q={query}")) for query in queries]


def typed_filter(w: World) -> Any:
    w.entry({"n": 5, "word": "x"})
    return len(w.get("/store/search?q=x&filter_path=$.n&filter_value=5"))


def same_key_same_body(w: World) -> Any:
    body, headers = w.task_body(), {"Idempotency-Key": "k"}
    ids = {
        w.client.post_json("/tasks", body, headers=headers, status=201).json["id"]
        for _ in range(2)
    }
    return len(ids)


def same_key_other_space(w: World) -> Any:
    return [
        w.answer("PUT", "/store/n/k", raw=raw, key="k")
        for raw in (b'{"value":1}', b'{"value": 1}')
    ]


def key_after_401(w: World) -> Any:
    w.make.task()
    claim = w.make.claim()
    return [
        w.on_run(claim, "events", {"kind": "k"}, token=token, key="k")
        for token in ("0" * 64, claim["lease_token"])
    ]


def large_body(w: World) -> Any:
    def put(size: int) -> Any:
        return w.answer("PUT", "/store/n/k", raw=b'{"value":"%s"}' % (b"x" * (size - 12)))

    return put(65_537), put(8 << 20), put((8 << 20) + 1)


def strangers(w: World) -> Any:
    return [w.answer("GET", path, secured=True) for path in ("/nope", "/health", "/health/x")]


def garbage_reader(w: World) -> Any:
    w.make.task()
    path = f"/runs/{w.make.claim()['run']['id']}/events"
    return w.answer("GET", path, secured=True, token="garbage")


def exchanged_tokens(w: World) -> Any:
    w.make.task()
    claim = w.make.claim()
    path = f"/tasks/{claim['task']['id']}"
    return [
        w.heartbeat(claim, secured=True, token=API_TOKEN),
        w.answer("GET", path, secured=True, token=claim["lease_token"]),
    ]


def export(w: World, *spans: Json) -> Any:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}
    return w.client.post_json("/v1/traces", document, expect_errors=True)


def span_without_id(w: World) -> Any:
    response = export(w, {"spanId": "s"}, {"traceId": "t", "spanId": "s"})
    answer = response.json
    return (
        response.status_int,
        answer["accepted_spans"],
        answer["partialSuccess"]["rejectedSpans"],
    )


def numeric_time(w: World) -> Any:
    response = export(w, {"traceId": "t", "spanId": "s", "startTimeUnixNano": 5})
    return response.status_int, w.get("/traces")["items"][0]["start_time_unix_nano"]


def media_types(w: World) -> Any:
    def stored(content_type: str) -> str:
        headers = {"Content-Type": content_type}
        return str(w.client.post("/v1/traces", b"{}", headers=headers).json["stored"])

    return stored("application/json; charset=utf-8"), stored("text/json")


GATE_REFUSAL = (409, "required_gates_not_passed")
BAD_DOCUMENT = (400, "invalid_request")
EXPIRED = (410, "expired")

# number, the probe, our answer, the defect where the reference answers otherwise
PROBES: list[tuple[int, Callable[[World], Any], Any, str | None]] = [
    (1, slashes, [200] * 3, None),
    (2, one_name_twice, [201, (409, "duplicate_name")], None),
    (3, odd_definitions, [(400, "validation_failed")] * 3, None),
    (4, titles, [BAD_DOCUMENT] * 3, "D-20"),
    (5, priorities, [BAD_DOCUMENT, 201, BAD_DOCUMENT, BAD_DOCUMENT], "D-24"),
    (6, bad_dependencies, ([(409, "duplicate_dependency"), (404, "task_not_found")], 1), None),
    (7, bad_item_in_bulk, (BAD_DOCUMENT, 0), None),
    (8, limits, [(400, "invalid_limit")] * 3, "D-47"),
    (9, walk, 10, "D-01"),
    (10, cursors, [(400, "invalid_cursor")] * 3 + [200, 200], "D-02"),
    (11, encoded_stage, 1, "D-02"),
    (12, unknown_roles, [204, 204], None),
    (13, no_ttl, (BAD_DOCUMENT, [EXPIRED] * 4, [EXPIRED] * 4), "D-07"),
    (14, wrong_token_after_expiry, (401, "unauthorized"), None),
    (15, unknown_run, [(404, "not_found"), (401, "unauthorized")], None),
    (16, heartbeat_with_a_bad_body, 200, None),
    (17, event_data, [{}, 5, [1]], None),
    (18, everything_wrong, (409, "expected_stage_mismatch"), None),
    (19, self_loop, 2, None),
    (20, heartbeat_after_refusal, 200, None),
    (
        21,
        three_failures,
        (["retry_scheduled", "retry_scheduled", "dead_letter"], [204] * 3, 204),
        None,
    ),
    (22, unknown_dead_letter_stage, BAD_DOCUMENT, "D-22"),
    (23, six_expiries, (7, 204), "D-06"),
    (24, two_cycle, ([201, (409, "dependency_cycle")], 200), "D-05"),
    (25, blocked_in_front, True, "D-03"),
    (26, three_assignments, (2, 1), None),
    (27, unassign_twice, [200, (404, "not_found")], None),
    (28, per_state, [200, 204, BAD_DOCUMENT, BAD_DOCUMENT, BAD_DOCUMENT, 200], "D-63"),
    (29, artifact_of_nothing, (404, "task_not_found"), "D-12"),
    (30, gate_statuses, [(400, "invalid_status"), BAD_DOCUMENT], "D-20"),
    (31, gates_in_turn, [GATE_REFUSAL, GATE_REFUSAL, 200], None),
    (32, gates_of_a_failed_run, GATE_REFUSAL, None),
    (33, encoded_names, ("team alpha", "key/1"), None),
    (34, reserved, (400, "reserved_namespace"), None),
    (
        35,
        empty_queries,
        [(400, "missing_param"), (400, "invalid_query"), (400, "invalid_query")],
        None,
    ),
    (36, literal_queries, [1, 0, 0, 0], None),
    (37, typed_filter, 1, "D-46"),
    (38, same_key_same_body, 1, None),
    (39, same_key_other_space, [204, (409, "idempotency_conflict")], None),
    (40, key_after_401, [(401, "unauthorized"), 201], "D-38"),
    (41, large_body, (204, 204, (413, "payload_too_large")), "D-25"),
    (42, strangers, [(401, "unauthorized"), 200, (401, "unauthorized")], None),
    (43, garbage_reader, (401, "unauthorized"), "D-35"),
    (44, exchanged_tokens, [200, 200], "D-36"),
    (45, span_without_id, (200, 1, 1), None),
    (46, numeric_time, (200, 5), "D-62"),
    (47, media_types, ("json", "blob"), None),
]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        pytest.param(probe, expected, id=f"{number}-{probe.__name__}-{defect or 'as ever'}")
        for number, probe, expected, defect in PROBES
    ],
)
def test_a_probe_is_answered_as_promised(
    client: Client,
    secured: Client,
    make: Factory,
    clock: FrozenClock,
    probe: Callable[[World], Any],
    expected: Any,
) -> None:
    assert probe(World(client, secured, make, clock)) == expected


def test_all_47_probes_are_there() -> None:
    assert [number for number, *_ in PROBES] == list(range(1, 48))


def test_the_published_scripts_agree_on_a_pipeline_of_review(make: Factory) -> None:
    make.task(make.pipeline(REVIEW))

    make.transition(make.claim(), "submit")
    make.transition(make.claim("reviewer"), "approve")

    make.no_claim("coder")
    make.no_claim("reviewer")
