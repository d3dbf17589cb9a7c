"""Work of every kind on a database that is being recorded, and how to see that it was done."""

from __future__ import annotations

import itertools
import json
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from tests.faults.histories import History
from tests.worlds import World
from tickets.errors import TicketsError
from tickets.ids import hash_token
from tickets.tracker.domain.documents import (
    BulkTask,
    NewArtifact,
    NewEvent,
    NewGateResult,
    TaskChanges,
)
from tickets.tracker.domain.records import Claim

PATIENCE_S = 30.0  # far beyond anything that works


class Agent:
    """One client: it waits for each answer before it asks for the next thing."""

    def __init__(self, history: History, name: str, chance: random.Random) -> None:
        self._history = history
        self._name = name
        self._chance = chance
        self._numbers = itertools.count()
        self._tasks: list[str] = []
        self._claims: list[Claim] = []
        self._keys: list[str] = []

    def act(self) -> None:
        """Do something that is possible now; a refusal is an answer as well."""
        actions = [self._create, self._create_many, self._put, self._trace]
        if self._tasks:
            actions += [self._claim] * 6 + [self._change, self._cancel, self._assign]
        if self._keys:
            actions += [self._forget]
        if self._claims:
            actions += [self._report, self._beat, self._end, self._end] * 3
        try:
            self._chance.choice(actions)()
        except TicketsError:
            self._claims.clear()

    @property
    def _world(self) -> World:
        return self._history.world

    def _done(self, sql: str, *values: Any) -> None:
        self._history.answer(self._name, sql, *values)

    def _label(self) -> str:
        """Return a name that is given once."""
        return f"{self._name} {next(self._numbers)}"

    def _text(self) -> str:
        """Return a text that is written once; some are longer than a page."""
        return self._label() + " x" * self._chance.choice((1, 10, 3000))

    def _create(self) -> None:
        dependencies = self._chance.sample(self._tasks, min(1, len(self._tasks)))
        task_id = self._world.task(self._history.pipeline_id, dependencies=dependencies)
        self._done("SELECT 1 FROM tasks WHERE id = ?", task_id)
        self._tasks.append(task_id)

    def _create_many(self) -> None:
        pipeline_id = self._history.pipeline_id
        documents = [
            BulkTask(pipeline_id=pipeline_id, title="t", description=self._text())
            for _ in range(self._chance.randint(1, 8))
        ]
        ids = self._world.do.creation.create_many(documents)
        self._done("SELECT 1 FROM tasks WHERE id = ?", ids[-1])
        self._tasks += ids

    def _change(self) -> None:
        text = self._text()
        task_id = self._chance.choice(self._tasks)
        self._world.do.tasks.change(task_id, TaskChanges(description=text))
        self._done("SELECT 1 FROM tasks WHERE id = ? AND description = ?", task_id, text)

    def _assign(self) -> None:
        task_id, agent = self._chance.choice(self._tasks), self._label()
        self._world.assign(task_id, agent)
        sql = "SELECT 1 FROM task_assignments WHERE task_id = ? AND agent_id = ? AND active = 1"
        self._done(sql, task_id, agent)
        self._world.do.assignments.unassign(task_id, agent)
        sql = sql.replace("active = 1", "active = 0")
        self._done(sql, task_id, agent)

    def _cancel(self) -> None:
        task_id = self._tasks.pop(self._chance.randrange(len(self._tasks)))
        reason = self._label()
        self._world.do.dead_letters.cancel(task_id, reason=reason)
        sql = "SELECT 1 FROM tasks WHERE id = ? AND dead_letter_reason IS {} NULL"
        self._done(sql.format("NOT"), task_id)
        if self._chance.random() < 0.5:
            self._world.do.dead_letters.requeue(task_id, stage=None)
            self._done(sql.format(""), task_id)

    def _claim(self) -> None:
        role = self._chance.choice(("coder", "coder", "reviewer"))
        ttl_ms = self._chance.choice((30, 600_000))
        claims = self._world.claims(role, self._name, lease_ttl_ms=ttl_ms, max_tasks=2)
        if claims:
            self._done("SELECT 1 FROM runs WHERE id = ?", claims[-1].run.id)
            self._claims += claims

    def _report(self) -> None:
        claim = self._chance.choice(self._claims)
        run_id, holder = claim.run.id, hash_token(claim.lease_token)
        do = self._world.do
        match self._chance.randrange(3):
            case 0:
                events = [NewEvent(kind="step", data=self._text())] * 2
                ids = do.events.append(run_id, events, holder=holder)
                self._done("SELECT 1 FROM events WHERE id = ?", ids[-1])
            case 1:
                result = NewGateResult(gate=self._label(), status="pass")
                id_ = do.gates.append(run_id, result, holder=holder)
                self._done("SELECT 1 FROM gate_results WHERE id = ?", id_)
            case _:
                artifact = NewArtifact(kind="k", uri=self._text(), run_id=run_id)
                self._done(
                    "SELECT 1 FROM artifacts WHERE id = ?",
                    do.artifacts.create(artifact, reader=None),
                )

    def _beat(self) -> None:
        claim = self._chance.choice(self._claims)
        ends_at_ms = self._world.heartbeat(claim)
        sql = "SELECT 1 FROM leases WHERE id = ? AND expires_at_ms = ?"
        self._done(sql, claim.lease_id, ends_at_ms)

    def _end(self) -> None:
        claim = self._claims.pop()
        status = self._chance.choice(("completed", "completed", "failed", "released"))
        if status == "failed":
            self._world.fail(claim)
        elif status == "released":
            self._world.release(claim)
        else:
            trigger = {"coding": "submit", "review": "approve"}[claim.task.stage]
            self._world.transition(claim, trigger)
        sql = "SELECT 1 FROM runs WHERE id = ? AND status = ?"
        self._done(sql, claim.run.id, status)

    def _put(self) -> None:
        key, text = f"{self._name} {self._chance.randrange(3)}", self._text()
        self._world.do.kv.put("n", key, text)
        self._keys = sorted({*self._keys, key})
        sql = "SELECT 1 FROM kv_entries WHERE key = ? AND value_json = ?"
        self._done(sql, key, json.dumps(text))

    def _forget(self) -> None:
        key = self._keys.pop()
        self._world.do.kv.delete("n", key)
        sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM kv_entries WHERE key = ?)"
        self._done(sql, key)

    def _trace(self) -> None:
        payload = self._text().encode()
        self._world.do.traces.accept_other(payload, content_type="text/plain")
        self._done("SELECT 1 FROM otlp_batches WHERE payload_blob = ?", payload)


def work_alone(made: History, *, seed: int, acts: int) -> None:
    """Let one agent work, with checkpoints of every kind and restarts in between.

    The same seed gives the same recording, step by step.
    """
    ids = random.Random(seed)

    def next_id() -> uuid.UUID:
        return uuid.UUID(int=ids.getrandbits(128), version=4)

    with mock.patch.object(uuid, "uuid4", next_id):
        _work_alone(made, random.Random(seed), acts)


def _work_alone(made: History, chance: random.Random, acts: int) -> None:
    agent = Agent(made, "alone", chance)
    for _ in range(acts):
        agent.act()
        match chance.randrange(25):
            case 0:
                made.restart()
            case 1:
                made.world.file.checkpoint(truncate=True)
            case 2:
                _checkpoint_beside_a_reader(made)
            case 3 | 4 | 5:
                made.housekeeping.advance_readiness()
        made.housekeeping.tend()


def work_together(made: History, *, seed: int, agents: int, acts: int) -> None:
    """Let agents work at once, so that they share commits, beside the housekeeping."""
    is_over = threading.Event()

    def keep_house() -> None:
        while not is_over.wait(0.005):
            made.housekeeping.advance_readiness()
            made.housekeeping.tend()

    def work(name: str) -> None:
        agent = Agent(made, name, random.Random(f"{seed} {name}"))
        for _ in range(acts):
            agent.act()

    with ThreadPoolExecutor(agents + 1) as pool:
        house = pool.submit(keep_house)
        try:
            working = [pool.submit(work, f"agent {number}") for number in range(agents)]
            for each in working:
                each.result()
        finally:
            is_over.set()
        house.result()


def _checkpoint_beside_a_reader(made: History) -> None:
    """Checkpoint what a reader's view allows, with a write after the view began."""
    is_reading, may_go = threading.Event(), threading.Event()

    def read() -> None:
        with made.world.db.read() as tx:
            tx.one("changes.extent")
            is_reading.set()
            assert may_go.wait(PATIENCE_S)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert is_reading.wait(PATIENCE_S)
        number = len(made.answers)
        Agent(made, f"late {number}", random.Random(number)).act()
        made.world.file.checkpoint()
    finally:
        may_go.set()
        reader.join()
