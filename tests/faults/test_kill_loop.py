"""Servers that are killed again and again, while agents fight for short leases.

``tests/process/test_kill.py`` compares what patient writers remember; here a model decides
whether everything that anybody saw can have been.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.drills import rounds, seed
from tests.faults.agents import Memory, agents_at_work, begin, look, rules
from tests.faults.history import check
from tests.faults.soundness import check_home
from tests.process.clients import Client, eventually, free_port, is_free, tickets
from tests.process.crowd import Service, kill_all, two_workers_of
from tests.process.serving import STOP_S, Server

SEED = seed(8)
ROUNDS = rounds(4, drill=14)
FEWEST_STEPS, MOST_STEPS = 20, 150


def kill_a_worker(server: Server, chance: random.Random) -> None:
    """Kill one of two."""
    os.kill(chance.choice(eventually(lambda: two_workers_of(server))), signal.SIGKILL)


def kill_master(server: Server) -> None:
    """Kill the master alone: its workers finish what they have, and go."""
    server.process.kill()
    server.process.wait(STOP_S)
    eventually(lambda: is_free(server.port))


@pytest.mark.drill
@pytest.mark.parametrize("kill", [kill_all, kill_master])
def test_what_agents_saw_of_killed_servers_has_an_explanation(
    tmp_path: Path, kill: Callable[[Server], None]
) -> None:
    chance = random.Random(SEED)
    flags = ("--port", str(free_port()), "--workers", "2")
    memory = Memory(service := Service())
    with ExitStack() as stack:
        server = stack.enter_context(tickets(tmp_path, *flags))
        service.is_now(server)
        with Client(server) as client:
            begin(client, memory)
        with agents_at_work(memory, SEED):
            for _ in range(ROUNDS):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                kill_a_worker(server, chance)
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                service.is_now(None)
                kill(server)
                server = stack.enter_context(tickets(tmp_path, *flags))
                service.is_now(server)
            service.go_on(MOST_STEPS)
        with Client(server) as client:
            look(client, memory)
        assert server.stop() == 0

    assert service.unanswered >= ROUNDS
    assert check(memory.history.calls(), rules()) > ROUNDS * FEWEST_STEPS
    check_home(tmp_path)
