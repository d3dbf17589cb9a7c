"""What concurrent agents saw is what one after the other could have seen."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.agents import Memory, agents_at_work, begin, look, rules
from tests.faults.history import Unexplained, check
from tests.faults.odd_server import DEFECTS, odd
from tests.process.clients import Client, tickets
from tests.process.crowd import Service
from tests.process.serving import Server

IS_DRILL = "TICKETS_DRILL" in os.environ
SEED = random.randrange(1 << 32) if IS_DRILL else 8
STEPS = 12_000 if IS_DRILL else 1_500
STEPS_TO_BE_CAUGHT = 600


def race(server: Server, *, steps: int, seed: int) -> Memory:
    """Let agents race on a server; return what they remember."""
    print(f"seed {seed}")  # noqa: T201  # pytest shows it where the test fails
    memory = Memory(Service())
    memory.service.is_now(server)
    with Client(server) as client:
        begin(client, memory)
        with agents_at_work(memory, seed):
            for _ in range(steps // 100):
                memory.service.go_on(100)
        look(client, memory)
    return memory


def test_a_race_for_short_leases_has_an_explanation(tmp_path: Path) -> None:
    with tickets(tmp_path, "--workers", "2") as server:
        memory = race(server, steps=STEPS, seed=SEED)
        assert server.stop() == 0

    assert check(memory.history.calls(), rules()) > STEPS / 2


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_service_without_one_defence_has_none(tmp_path: Path, defect: str) -> None:
    with odd(tmp_path, ODD_DEFECT=defect) as server, pytest.raises(Unexplained):  # noqa: PT012
        # What was granted twice is noticed as soon as the tasks are read.
        memory = race(server, steps=STEPS_TO_BE_CAUGHT, seed=SEED)
        check(memory.history.calls(), rules())
