"""TERM under load: what was sent whole before it is answered, and nothing is done twice."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.drills import rounds, seed
from tests.faults.soundness import check_home
from tests.process.clients import Client, eventually, free_port, is_free, tickets
from tests.process.crowd import Service, crowd_at_work
from tests.process.serving import STOP_S

SEED = seed(8)
ROUNDS = rounds(4, drill=12)
FEWEST_STEPS, MOST_STEPS = 20, 150


# D-31
@pytest.mark.drill
def test_no_request_that_was_sent_before_the_signal_is_dropped(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    flags = ("--port", str(free_port()), "--workers", "2")
    service = Service()
    with ExitStack() as stack:
        with crowd_at_work(service, tmp_path) as crowd:
            for _ in range(ROUNDS):
                with tickets(tmp_path, *flags) as server:
                    service.is_now(server)
                    service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                    # Clients go on as they are: what they send from now on may be too late.
                    before = len(service.lost)
                    signalled_ns = time.monotonic_ns()
                    server.process.send_signal(signal.SIGTERM)
                    service.is_now(None)
                    assert server.process.wait(STOP_S) == 0
                    lost = service.lost[before:]
                    dropped = [each for each in lost if each.sent_ns < signalled_ns]
                    assert dropped == [], signalled_ns
                    eventually(lambda: is_free(server.port))  # at once
            server = stack.enter_context(tickets(tmp_path, *flags))
            service.is_now(server)
            service.go_on(MOST_STEPS)
        # Whatever was repeated was done once, and whatever was answered is there.
        with Client(server) as client:
            crowd.check(client)
        assert server.stop() == 0

    check_home(tmp_path)
