"""What concurrent agents saw is what one after the other could have seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills import rounds, seed
from tests.faults.agents import Memory, agents_at_work, begin, look, rules
from tests.faults.history import Unexplained, check
from tests.faults.odd_server import DEFECTS, odd
from tests.process.clients import Client, tickets
from tests.process.crowd import Service
from tests.process.serving import Server

SEED = seed(8)
STEPS = rounds(1_500, drill=6_000)
STEPS_TO_BE_CAUGHT = 600


def race(server: Server, *, steps: int) -> Memory:
    """Let agents race on a server; return what they remember."""
    memory = Memory(Service())
    memory.service.is_now(server)
    with Client(server) as client:
        begin(client, memory)
        with agents_at_work(memory, SEED):
            for _ in range(steps // 100):
                memory.service.go_on(100)
        look(client, memory)
    return memory


@pytest.mark.drill
def test_a_race_for_short_leases_has_an_explanation(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "2") as server:
        memory = race(server, steps=STEPS)
        assert server.stop() == 0

    assert check(memory.history.calls(), rules()) > STEPS / 2


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_service_without_one_defence_has_none(tmp_path: Path, defect: str) -> None:
    with odd(tmp_path, ODD_DEFECT=defect) as server, pytest.raises(Unexplained):  # noqa: PT012
        # What was granted twice is noticed as soon as the tasks are read.
        memory = race(server, steps=STEPS_TO_BE_CAUGHT)
        check(memory.history.calls(), rules())
