"""A clock that is set while the service runs, by hours, forward and back.

Only the clock that ``tickets.clock`` reads is set: waits, timeouts and the server's own
watchdogs go by the monotonic clock, which nobody can set.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.drills import rounds, seed
from tests.factories import Json
from tests.faults.agents import Memory, agents_at_work, begin, clock_offset_ms, look, rules
from tests.faults.clocks import Span
from tests.faults.history import check
from tests.faults.odd_server import Offset, odd
from tests.faults.soundness import check_home
from tests.process.clients import Client, Open, eventually
from tests.process.crowd import Service
from tests.process.serving import Server

SEED = seed(8)
ROUNDS = rounds(6, drill=36)
HOUR_MS = 3_600_000
WAIT_MS = 1_500
# Far beyond a wait, far below an hour.
LATE_S = 15.0
PIPELINE: Json = {
    "initial": "todo",
    "states": {"todo": {"agent_role": "coder"}, "done": {"terminal": True}},
    "transitions": [{"from": "todo", "to": "done", "trigger": "complete"}],
}


@dataclass
class Place:
    """A server, its clock, and a client with a pipeline."""

    server: Server
    offset: Offset
    client: Client
    pipeline_id: str

    def task(self, title: str = "t", **policy: int) -> str:
        return self.client.task(self.pipeline_id, title, retry_policy=policy or None)

    def is_stale(self, claim: Json) -> bool:
        run: Json = self.client.get(f"/runs/{claim['run']['id']}")
        return bool(run["status"] == "stale")

    def beat(self, claim: Json, body: Json, *, status: int = 200) -> Json:
        path = f"/leases/{claim['lease_id']}/heartbeat"
        answer: Json = self.client.post(path, body, status=status, token=claim["lease_token"])
        return answer

    def waits(self, wait_ms: int, role: str = "coder") -> Open:
        body = {"agent_id": "waiting", "agent_role": role, "wait_ms": wait_ms}
        return Open(self.server, "POST", "/leases/claim", body)


@pytest.fixture
def offset(tmp_path: Path) -> Offset:
    return Offset(tmp_path / "offset")


@pytest.fixture
def place(tmp_path: Path, offset: Offset) -> Iterator[Place]:
    with odd(tmp_path, ODD_CLOCK=str(tmp_path / "offset")) as server:
        with Client(server) as client:
            yield Place(server, offset, client, client.pipeline(PIPELINE))
        assert server.stop() == 0
    check_home(tmp_path)


def test_a_clock_set_forward_ends_the_leases_and_delays_that_it_passes(place: Place) -> None:
    failed, held = place.task("failed", retry_delay_ms=HOUR_MS), place.task("held")
    first, second = place.client.claim("coder"), place.client.claim("coder")
    place.client.on_run(first, "fail", {"error": "e"})
    with place.waits(60_000).socket as waiting:
        waiting.settimeout(LATE_S)
        place.offset.ms = 2 * HOUR_MS
        # Both are to be had now, and whoever waits is told.
        assert waiting.recv(12) == b"HTTP/1.1 200"

    assert eventually(lambda: place.is_stale(second))
    place.beat(second, {}, status=410)
    place.client.on_run(second, "transition", {"trigger": "complete"}, status=410)
    place.client.claim("coder")
    runs = [len(place.client.pages(f"/tasks/{task}/runs")) for task in (failed, held)]
    assert runs == [2, 2]


def test_a_clock_set_back_takes_nothing_from_a_holder_and_holds_nothing_up(
    place: Place,
) -> None:
    place.offset.ms = 3 * HOUR_MS
    place.task("held")
    held = place.client.claim("coder")
    place.offset.ms = 0

    # The end of its lease is hours ahead now; a heartbeat never brings that nearer by itself.
    assert place.beat(held, {})["expires_at_ms"] == held["expires_at_ms"]
    place.client.on_run(held, "events", {"kind": "step"}, status=201)
    assert place.client.send("POST", "/leases/claim", claim_body()).status == 204
    # What begins now goes by the new time: it ends, and housekeeping notices.
    place.task("short")
    short = place.client.claim("coder", lease_ttl_ms=100)
    assert eventually(lambda: place.is_stale(short), within_s=LATE_S)
    # It reads as stale by the clock; a sweep of another process may be busy with it just now.
    again = place.client.claim("coder", wait_ms=20_000)
    assert again["task"]["title"] == "short"
    # The holder can set its end by the new time, and its run ends no earlier than it began.
    near = place.beat(held, {"lease_ttl_ms": 60_000})["expires_at_ms"]
    assert near < held["expires_at_ms"] - 2 * HOUR_MS
    place.client.on_run(held, "transition", {"trigger": "complete"})
    run = place.client.get(f"/runs/{held['run']['id']}")
    assert run["ended_at_ms"] >= run["started_at_ms"]


def claim_body(**more: object) -> Json:
    return {"agent_id": "a", "agent_role": "coder", **more}


def test_a_task_that_a_clock_set_back_keeps_held_is_freed_by_cancel_and_requeue(
    place: Place,
) -> None:
    place.offset.ms = 3 * HOUR_MS
    task_id = place.task()
    lost = place.client.claim("coder")
    place.offset.ms = 0

    place.client.post(f"/tasks/{task_id}/cancel", {})
    place.client.post(f"/tasks/{task_id}/requeue", {})

    assert place.client.claim("coder")["task"]["id"] == task_id
    place.beat(lost, {}, status=410)


@pytest.mark.parametrize("hours", [5, -5])
def test_long_polls_end_on_time_whatever_the_clock_does(place: Place, hours: int) -> None:
    began = time.monotonic()
    claim = place.waits(WAIT_MS, "nobody")
    cursor = place.client.get("/changes?limit=1000")["next_cursor"]
    query = f"after={cursor}&kind=run.failed&wait_ms={WAIT_MS}"
    feed = Open(place.server, "GET", f"/changes?{query}")
    for number in range(20):
        place.offset.ms = hours * HOUR_MS * (number % 2)
        # Wakes the reader of the feed, who goes on waiting for what is left.
        place.task("of no interest")

    answers = [claim.answer(), feed.answer()]
    took_s = time.monotonic() - began

    assert [answer.status for answer in answers] == [204, 200]
    assert answers[1].json["items"] == []
    assert WAIT_MS / 1000 - 0.1 < took_s < LATE_S


@pytest.mark.parametrize("hours", [5, -5])
def test_a_repeated_request_is_known_on_both_sides_of_a_jump(place: Place, hours: int) -> None:
    body = {"pipeline_id": place.pipeline_id, "title": "t", "description": ""}
    first = place.client.post("/tasks", body, status=201, key="k")
    place.offset.ms = hours * HOUR_MS
    assert place.client.post("/tasks", body, status=201, key="k") == first
    place.offset.ms = 0
    assert place.client.post("/tasks", body, status=201, key="k") == first
    assert len(place.client.pages("/tasks")) == 1


@pytest.mark.drill
def test_what_agents_saw_of_a_jumping_clock_has_an_explanation(
    tmp_path: Path, offset: Offset
) -> None:
    chance = random.Random(SEED)
    memory = Memory(service := Service())
    clock = Jumps(offset)
    with odd(tmp_path, ODD_CLOCK=str(tmp_path / "offset")) as server, Client(server) as client:
        service.is_now(server)
        begin(client, memory)
        with agents_at_work(memory, SEED):
            for _ in range(ROUNDS):
                service.go_on(chance.randint(20, 150))
                clock.jump(chance.randint(-5 * HOUR_MS, 5 * HOUR_MS))
            service.go_on(150)
            # Beyond all leases that were ever granted.
            clock.jump(6 * HOUR_MS)
            service.go_on(150)
        look(client, memory)
        client.close()
        assert server.stop() == 0

    assert check(memory.history.calls(), rules(*clock.spans())) > 20 * ROUNDS
    check_home(tmp_path)


class Jumps:
    """Sets a clock, and remembers when."""

    def __init__(self, offset: Offset) -> None:
        self._offset = offset
        self._spans = [Span(clock_offset_ms())]

    def jump(self, to_ms: int) -> None:
        """Set the clock; in the instant in which that is done it may show either time."""
        before_ns = time.monotonic_ns()
        self._offset.ms = to_ms
        after_ns = time.monotonic_ns()
        last = self._spans.pop()
        # A request may have read the clock just before and not have gone on yet; it has by
        # the time it is answered, which the model knows.
        self._spans.append(Span(last.offset_ms, last.from_ns, after_ns))
        self._spans.append(Span(clock_offset_ms() + to_ms, before_ns))

    def spans(self) -> list[Span]:
        """Return what the clock showed when."""
        return self._spans
