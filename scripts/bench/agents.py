"""The part of a load that one process of the generator in Python makes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.bench.connection import Address, Connection
from scripts.bench.outcome import Outcome

# Uncounted, until all connections are at work; the same as in load.lua.
LEAD_S = 0.02
WANTED = {"claim": 200, "event": 201, "transition": 200, "post": 201}
EVENT = b'{"kind":"progress","data":{"note":"half of it is done"}}'
TRANSITION = b'{"trigger":"complete","usage":{"tokens":12}}'


@dataclass(frozen=True)
class Part:
    """Agents of a role, or posts of a body where there is no role."""

    connections: int
    seconds: float
    role: str | None = None
    events: int = 1
    path: str = ""
    body: bytes = b""


class Agent:
    """One connection's requests and their times."""

    def __init__(self, address: Address, part: Part) -> None:
        self._connection = Connection(address)
        self._part = part
        self._counts_s = 0.0
        self._ends_s = 0.0
        self.outcome = Outcome(part.seconds)

    def run(self) -> None:
        """Work until the time is over, and bring to an end what is open then."""
        self._counts_s = time.perf_counter() + LEAD_S
        self._ends_s = self._counts_s + self._part.seconds
        with self._connection:
            while time.perf_counter() < self._ends_s:
                try:
                    self._step()
                except OSError:
                    self.outcome.socket_errors += 1
                    return

    def _step(self) -> None:
        if self._part.role is None:
            self._ask("post", self._part.path, self._part.body)
            return
        wanted = {
            "agent_id": "bench",
            "agent_role": self._part.role,
            "lease_ttl_ms": 600_000,
        }
        answer = self._ask("claim", "/leases/claim", json.dumps(wanted).encode())
        if answer is None:
            return
        self.outcome.taken += 1
        claim = json.loads(answer)
        path, token = f"/runs/{claim['run']['id']}", claim["lease_token"]
        for _ in range(self._part.events):
            self._ask("event", f"{path}/events", EVENT, token)
        self._ask("transition", f"{path}/transition", TRANSITION, token)

    def _ask(self, kind: str, path: str, body: bytes, token: str | None = None) -> bytes | None:
        """Return the body of a good answer, None where there is no such."""
        begun_s = time.perf_counter()
        status, answer = self._connection.ask("POST", path, body, token)
        ended_s = time.perf_counter()
        if status == 204 and kind == "claim":
            self.outcome.empty += 1
        elif status != WANTED[kind]:
            self.outcome.errors[f"{kind} {status}"] += 1
        else:
            if self._counts_s <= ended_s < self._ends_s:
                times = self.outcome.times_us.setdefault(kind, [])
                times.append(round((ended_s - begun_s) * 1_000_000))
            return answer
        return None


def run_part(address: Address, part: Part, wait_for_others: Callable[[], object]) -> Outcome:
    """Connect, wait until the others have, and run."""
    agents = [Agent(address, part) for _ in range(part.connections)]
    threads = [threading.Thread(target=agent.run) for agent in agents]
    wait_for_others()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcome.side_by_side([agent.outcome for agent in agents] or [Outcome()])
