"""Processes that are killed under load: nothing answered is lost, nothing happens twice.

Clients repeat whatever was not answered, with the same Idempotency-Key, as the documentation
tells them to.
"""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.drills import rounds, seed
from tests.factories import SIMPLE
from tests.process.clients import Client, Open, eventually, free_port, tickets, workers_of
from tests.process.crowd import Service, check_database, crowd_at_work, kill_all, two_workers_of

SEED = seed(8)
ROUNDS = rounds(8, drill=25)
# Between the two, some steps of a round are answered before it ends.
FEWEST_STEPS, MOST_STEPS = 20, 150


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


# D-40
@pytest.mark.drill
def test_nothing_is_lost_or_doubled_when_all_processes_are_killed(
    tmp_path: Path, chance: random.Random
) -> None:
    flags = ("--port", str(free_port()), "--workers", "2")
    service = Service()
    with ExitStack() as stack:
        with crowd_at_work(service, tmp_path) as crowd:
            for _ in range(ROUNDS):
                with tickets(tmp_path, *flags) as server:
                    service.is_now(server)
                    service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                    service.is_now(None)
                    kill_all(server)
            server = stack.enter_context(tickets(tmp_path, *flags))
            service.is_now(server)
            service.go_on(MOST_STEPS)
        with Client(server) as client:
            crowd.check(client)
        assert server.stop() == 0

    assert service.unanswered >= ROUNDS
    check_database(tmp_path)


@pytest.mark.drill
def test_nothing_is_lost_or_doubled_when_single_workers_are_killed(
    tmp_path: Path, chance: random.Random
) -> None:
    service = Service()
    with tickets(tmp_path, "--workers", "2") as server:
        with crowd_at_work(service, tmp_path) as crowd:
            service.is_now(server)
            for _ in range(ROUNDS):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                victim = chance.choice(eventually(lambda: two_workers_of(server)))
                os.kill(victim, signal.SIGKILL)
                eventually(lambda: victim not in workers_of(server))  # noqa: B023  # at once
            service.go_on(MOST_STEPS)
        with Client(server) as client:
            crowd.check(client)
        assert server.stop() == 0

    assert service.unanswered >= ROUNDS
    check_database(tmp_path)


def test_an_answer_that_nobody_read_is_given_again_after_a_restart(tmp_path: Path) -> None:
    flags = ("--port", str(free_port()), "--workers", "2")
    with tickets(tmp_path, *flags) as server, Client(server) as client:
        task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
        with Open(server, "POST", "/tasks", task, key="create").socket:
            (created,) = eventually(lambda: client.pages("/tasks"))
        wanted = {"agent_id": "a", "agent_role": "coder"}
        with Open(server, "POST", "/leases/claim", wanted, key="claim").socket:
            eventually(lambda: client.get("/health")["active_leases"])
        run = client.get(f"/tasks/{created['id']}")["latest_run"]
        kill_all(server)

    with tickets(tmp_path, *flags) as server, Client(server) as client:
        assert client.post("/tasks", task, status=201, key="create") == {"id": created["id"]}
        claim = client.post("/leases/claim", wanted, key="claim")
        assert claim["run"] == run
        more = {"token": claim["lease_token"]}
        path, step, done = f"/runs/{run['id']}", {"kind": "step"}, {"trigger": "complete"}
        with Open(server, "POST", f"{path}/events", step, key="step", **more).socket:
            (event,) = eventually(lambda: client.get(f"{path}/events")["items"])
        with Open(server, "POST", f"{path}/transition", done, key="done", **more).socket:
            eventually(lambda: not client.get("/health")["active_leases"])
        kill_all(server)

    with tickets(tmp_path, *flags) as server, Client(server) as client:
        again = client.post(f"{path}/events", step, status=201, key="step", **more)
        assert again == {"id": event["id"]}
        moved = client.post(f"{path}/transition", done, key="done", **more)
        assert moved["new_stage"] == "done"
        kinds = [item["kind"] for item in client.get(f"{path}/events")["items"]]
        assert kinds == ["step", "transition"]
        (finished,) = client.pages("/tasks")
        assert (finished["stage"], finished["task_version"]) == ("done", 2)
