"""Agents that claim a few tasks again and again, with short leases, and remember all of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.factories import Json
from tests.faults.acts import (
    Act,
    Claimed,
    Expired,
    Failed,
    Gone,
    Kept,
    Moved,
    Noted,
    Odd,
    Released,
    Seen,
)
from tests.faults.clocks import FOREVER_NS, NS_PER_MS, Clock, Span
from tests.faults.crews import at_work
from tests.faults.history import Call, History, Unexplained
from tests.faults.lease_model import Rules
from tests.process.clients import Client, Open, eventually
from tests.process.crowd import Exchange, Service, Stubborn

AGENTS = 8
GAMES = 4
RETRY_DELAY_MS = 20
# Some leases last longer than their agent dallies, and some do not.
TTLS_MS = (60, 120, 250, 400)
WAIT_MS = 200
# How often an agent sends something and hangs up before the answer, in order to repeat it.
HANGS_UP = 0.05
# How often a move is the last one; then a new game begins.
GAME_ENDS = 0.02
GAME: Json = {
    "initial": "ping",
    "states": {
        "ping": {"agent_role": "player"},
        "pong": {"agent_role": "player"},
        "over": {"terminal": True},
    },
    "transitions": [
        {"from": "ping", "to": "pong", "trigger": "hit"},
        {"from": "pong", "to": "ping", "trigger": "return"},
        {"from": "pong", "to": "over", "trigger": "miss"},
    ],
}


class Impatient(Stubborn):
    """A client that now and then hangs up before it is answered, and then repeats it."""

    def __init__(self, service: Service, name: str, chance: random.Random) -> None:
        super().__init__(service, name)
        self._chance = chance

    def exchange(self, method: str, path: str, body: Json | None, **more: Any) -> Exchange:
        if self._chance.random() >= HANGS_UP:
            return super().exchange(method, path, body, **more)
        first_ns = time.monotonic_ns()
        key = f"{self._name}-{self._keys + 1}"
        try:
            Open(self._service.server(), method, path, body, key=key, **more).socket.close()
        except OSError:
            self._service.was_not_answered(None)
        found = super().exchange(method, path, body, **more)
        return Exchange(found.answer, first_ns, found.last_ns, found.end_ns)


@dataclass
class Held:
    """A lease that an agent was granted, and what it knows of its end."""

    task_id: str
    run: int
    run_id: str
    lease_id: str
    token: str
    stage: str
    ttl_ms: int


@dataclass
class Asked:
    """A claim whose answer did not show what it was granted."""

    call_ns: int
    end_ns: int
    ttl_ms: int


@dataclass
class Memory:
    """What all agents of a drill remember."""

    service: Service
    pipeline_id: str = ""
    failures: list[BaseException] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    history: History = field(default_factory=History)
    # By the name under which they were made, which no two of them share.
    granted: dict[str, str] = field(default_factory=dict)
    unshown: dict[str, Asked] = field(default_factory=dict)


class Agent:
    """One agent; its seed decides all that it does."""

    def __init__(self, memory: Memory, name: str, seed: int) -> None:
        self._memory = memory
        self._name = name
        self._chance = random.Random(f"{seed} {name}")
        self._client = Impatient(memory.service, name, self._chance)
        self._marks = 0
        self._claims = 0

    def run(self) -> None:
        """Work until the drill ends."""
        try:
            while not self._memory.ending.is_set():
                held = self._claim()
                if held is not None:
                    self._work(held)
        except Exception as error:  # noqa: BLE001 - raised where the agents are waited for
            self._memory.failures.append(error)
            self._memory.service.give_up()
        finally:
            self._client.close()

    def _claim(self) -> Held | None:
        self._claims += 1
        name = f"{self._name}/{self._claims}"
        ttl_ms = self._chance.choice(TTLS_MS)
        wanted = {"agent_id": name, "agent_role": "player", "lease_ttl_ms": ttl_ms}
        wanted["wait_ms"] = self._chance.choice((0, WAIT_MS))
        found = self._client.exchange("POST", "/leases/claim", wanted)
        if found.answer.status != 200:
            # 409: it was granted, the answer was lost, and the lease is over by now.
            assert found.answer.status in (204, 409), found.answer
            self._memory.unshown[name] = Asked(found.first_ns, found.end_ns, ttl_ms)
            self._dally(10)
            return None
        claim = found.answer.json
        task, run = claim["task"], claim["run"]
        act = Claimed(
            run=run["attempt"],
            granted_ms=run["started_at_ms"],
            ends_ms=claim["expires_at_ms"],
            stage=task["stage"],
            version=task["task_version"],
            failed=task["failed_attempts"],
        )
        self._memory.granted[name] = run["id"]
        self._remember(task["id"], act, found.first_ns, found.end_ns)
        return Held(
            task_id=task["id"],
            run=run["attempt"],
            run_id=run["id"],
            lease_id=claim["lease_id"],
            token=claim["lease_token"],
            stage=task["stage"],
            ttl_ms=ttl_ms,
        )

    def _work(self, held: Held) -> None:
        for _ in range(self._chance.randrange(3)):
            self._chance.choice((self._note, self._keep))(held)
            if self._chance.random() < 0.2:
                self._dally(self._chance.choice(TTLS_MS))
        end = self._chance.choices(
            (self._move, self._fail, self._release, self._note), (12, 2, 2, 1)
        )[0]
        end(held)
        if self._chance.random() < 0.2:
            # Again, although it is over: nothing may come of it.
            self._chance.choice((self._note, self._keep, self._move, self._fail))(held)

    def _dally(self, up_to_ms: int) -> None:
        self._memory.ending.wait(self._chance.random() * up_to_ms / 1000)

    def _note(self, held: Held) -> None:
        self._marks += 1
        mark = f"{self._name}:{self._marks}"
        body = {"kind": "step", "data": mark}
        self._do(held, f"/runs/{held.run_id}/events", body, Noted(held.run, mark))

    def _keep(self, held: Held) -> None:
        body = {"lease_ttl_ms": held.ttl_ms}
        act = Kept(held.run, held.ttl_ms, None)
        self._do(held, f"/leases/{held.lease_id}/heartbeat", body, act)

    def _move(self, held: Held) -> None:
        ways = [way for way in GAME["transitions"] if way["from"] == held.stage]
        way = ways[-1] if self._chance.random() < GAME_ENDS else ways[0]
        body = {"trigger": way["trigger"], "expected_stage": held.stage}
        self._do(
            held,
            f"/runs/{held.run_id}/transition",
            body,
            Moved(held.run, way["trigger"], None),
        )
        if way["to"] == "over":
            self._client.post("/tasks", new_game(self._memory.pipeline_id), status=201)

    def _fail(self, held: Held) -> None:
        self._do(held, f"/runs/{held.run_id}/fail", {"error": "lost"}, Failed(held.run))

    def _release(self, held: Held) -> None:
        self._do(held, f"/runs/{held.run_id}/release", {}, Released(held.run))

    def _do(self, held: Held, path: str, body: Json, act: Act) -> None:
        found = self._client.exchange("POST", path, body, token=held.token)
        status, first_ns, end_ns = found.answer.status, found.first_ns, found.end_ns
        if status in (200, 201):
            answer = found.answer.json
            if isinstance(act, Kept):
                act = Kept(act.run, act.ttl_ms, answer["expires_at_ms"])
            elif isinstance(act, Moved):
                act = Moved(act.run, act.trigger, answer["new_stage"])
            self._remember(held.task_id, act, first_ns, end_ns)
            return
        refusals: dict[int, Act] = {410: Expired(held.run), 404: Gone(held.run)}
        refusal = refusals.get(status)
        if refusal is None:
            refusal = Odd(held.run, found.answer.json["error"]["code"])
        self._remember(held.task_id, refusal, found.last_ns, end_ns)
        if found.was_repeated:
            # Had it been done before, its key would have brought back the first answer; but
            # what was sent first may still be on its way.
            self._remember(held.task_id, act, end_ns + 1, None)

    def _remember(self, task_id: str, act: Act, call_ns: int, end_ns: int | None) -> None:
        is_certain = end_ns is not None
        end_ns = FOREVER_NS if end_ns is None else end_ns
        self._memory.history.add(task_id, Call(self._name, act, call_ns, end_ns, is_certain))


@contextmanager
def agents_at_work(memory: Memory, seed: int, count: int = AGENTS) -> Iterator[None]:
    """Let agents play; at the end each finishes what it is about."""
    agents = [Agent(memory, f"a{number}", seed) for number in range(count)]
    with at_work(memory.service, memory.failures, memory.ending, agents):
        yield


def begin(client: Client, memory: Memory) -> None:
    """Create the games that the agents play."""
    memory.pipeline_id = client.pipeline(GAME)
    for _ in range(GAMES):
        client.post("/tasks", new_game(memory.pipeline_id), status=201)


def new_game(pipeline_id: str) -> Json:
    """Return a task to create."""
    return {
        "pipeline_id": pipeline_id,
        "title": "game",
        "description": "",
        "retry_policy": {"retry_delay_ms": RETRY_DELAY_MS},
    }


def look(client: Client, memory: Memory) -> None:
    """Add to the history what there is when all is over, and claims that nobody saw."""
    eventually(lambda: not client.get("/health")["active_leases"])
    for task in client.pages("/tasks"):
        if task["pipeline_id"] != memory.pipeline_id:
            continue
        call_ns = time.monotonic_ns()
        runs = client.pages(f"/tasks/{task['id']}/runs")
        events = client.pages(f"/tasks/{task['id']}/events")
        marks = tuple(each["data"] for each in events if each["kind"] == "step")
        statuses = tuple(run["status"] for run in runs)
        act = Seen(task["stage"], task["task_version"], statuses, marks)
        memory.history.add(task["id"], Call("the end", act, call_ns, time.monotonic_ns()))
        for run in runs:
            _find_unshown(memory, task["id"], run)


def _find_unshown(memory: Memory, task_id: str, run: Json) -> None:
    name = run["agent_id"]
    if memory.granted.setdefault(name, run["id"]) != run["id"]:
        raise Unexplained(f"the one claim of {name} was granted twice, in run {run['id']}")
    asked = memory.unshown.get(name)
    if asked is not None:
        granted_ms = run["started_at_ms"]
        act = Claimed(run["attempt"], granted_ms, granted_ms + asked.ttl_ms)
        memory.history.add(task_id, Call(name, act, asked.call_ns))


def rules(*spans: Span) -> Rules:
    """Return the rules of the game by this machine's clock, or by one with other spans."""
    return Rules(GAME, RETRY_DELAY_MS, Clock(spans or (Span(clock_offset_ms()),)))


def clock_offset_ms() -> float:
    """Return how far this machine's clock is from its monotonic clock."""
    return (time.time_ns() - time.monotonic_ns()) / NS_PER_MS
