"""Many agents at once over several worker processes: everything is done once."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from tests.factories import SIMPLE, Json
from tests.process.clients import Client, eventually, tickets
from tests.process.serving import START_S, Server

AGENTS = 32
TASKS = 1_000


def work_until_nothing_is_left(server: Server, number: int) -> list[Json]:
    """Claim and finish, every third agent some tasks at once; return the claims."""
    wanted: Json = {"agent_id": f"agent-{number}", "agent_role": "coder"}
    if number % 3 == 0:
        wanted["max_tasks"] = 4
    done: list[Json] = []
    with Client(server) as client:
        while True:
            answer = client.send("POST", "/leases/claim", wanted)
            if answer.status == 204:
                return done
            assert answer.status == 200, answer
            for claim in answer.json.get("claims", [answer.json]):
                client.on_run(claim, "events", {"kind": "step"}, status=201)
                client.on_run(claim, "transition", {"trigger": "complete"})
                done.append(claim)


def answers_by_process(client: Client) -> list[float]:
    """Return how many requests each worker process has answered."""
    text = client.send("GET", "/metrics").body.decode()
    counts = re.findall(r"^tickets_worker_requests_total{.*} (.*)$", text, re.MULTILINE)
    return [float(count) for count in counts]


def both_processes_serve(server: Server) -> bool:
    """Ask on a new connection, and tell whether each process has answered something."""
    with Client(server) as client:
        return len(answers_by_process(client)) == 2


def test_a_thousand_tasks_are_each_done_once(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "2") as server, Client(server) as client:
        eventually(lambda: both_processes_serve(server))
        task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
        ids = client.post("/tasks/bulk", {"tasks": [task] * TASKS}, status=201)["ids"]

        with ThreadPoolExecutor(AGENTS) as pool:
            each = list(
                pool.map(lambda n: work_until_nothing_is_left(server, n), range(AGENTS))
            )

        claims = [claim for done in each for claim in done]
        assert sorted(claim["task"]["id"] for claim in claims) == sorted(ids)
        assert {claim["run"]["attempt"] for claim in claims} == {1}
        assert len({claim["run"]["id"] for claim in claims}) == TASKS
        tasks = client.pages("/tasks")
        assert {(task["stage"], task["task_version"]) for task in tasks} == {("done", 2)}
        assert client.get("/health")["active_leases"] == 0
        assert counted(client) == {
            "pipeline.created": 1,
            "task.created": TASKS,
            "task.claimed": TASKS,
            "run.event": TASKS,
            "run.transitioned": TASKS,
        }
        # Each agent stays with one process, so this is far more than asking for health.
        assert all(count > TASKS / 10 for count in answers_by_process(client))
        client.close()
        assert server.stop() == 0


def counted(client: Client) -> Counter[str]:
    """Return how often each kind of fact is in the feed, whose ids ascend."""
    kinds: Counter[str] = Counter()
    cursor = ""
    while items := (page := client.get(f"/changes?limit=1000{cursor}"))["items"]:
        ids = [item["id"] for item in items]
        assert ids == sorted(set(ids))
        kinds.update(item["kind"] for item in items)
        cursor = f"&after={page['next_cursor']}"
    return kinds


# D-40
def test_one_request_sent_many_times_at_once_takes_effect_once(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "2") as server, Client(server) as client:
        task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
        together = Barrier(AGENTS, timeout=START_S)

        def create(_: int) -> list[str]:
            with Client(server) as own:
                ids = []
                for number in range(20):
                    together.wait()
                    ids.append(own.post("/tasks", task, status=201, key=f"k{number}")["id"])
                return ids

        with ThreadPoolExecutor(AGENTS) as pool:
            answers = list(pool.map(create, range(AGENTS)))

        assert all(ids == answers[0] for ids in answers)
        assert [task["id"] for task in client.pages("/tasks")] == answers[0]
