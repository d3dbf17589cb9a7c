"""What clients of tickets remember of their writes, and how they make them."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.factories import Json
from tests.faults.agents import Impatient
from tests.process.crowd import Service

WORKSPACES = ("w0", "w1")
# Agents of each workspace, by the end of their names, and what they can do.
ROLES = {"ann": "coder", "bob": "coder", "eve": "reviewer"}
STAGES: Json = {
    "initial": "coding",
    "states": {
        "coding": {"agent_role": "coder"},
        "review": {"agent_role": "reviewer"},
        "testing": {"agent_role": "coder"},
        "done": {"terminal": True},
        "failed": {"terminal": True},
        "cancelled": {"terminal": True},
    },
    "transitions": [
        {"from": "coding", "to": "review", "trigger": "submit"},
        {"from": "coding", "to": "cancelled", "trigger": "drop"},
        {"from": "review", "to": "testing", "trigger": "approve"},
        {"from": "review", "to": "coding", "trigger": "reject"},
        {"from": "testing", "to": "done", "trigger": "pass"},
        {"from": "testing", "to": "failed", "trigger": "break"},
    ],
}
# What else agents are given: tickets without a pipeline, and tasks without a ticket.
TRIGGERS = {
    "coding": ("submit", "submit", "submit", "drop"),
    "review": ("approve", "approve", "reject"),
    "testing": ("pass", "pass", "pass", "break"),
    "work": ("complete", "complete", "complete", "abandon"),
    "todo": ("complete",),
}
# Work outside begins with an open ticket only; a token proves nothing once its run is over.
MORE_REFUSALS = {"move": (400,), "holder": (401,)}


@dataclass(frozen=True)
class Wrote:
    """A write that was answered; ``mark`` is somewhere in whatever it leaves behind."""

    kind: str
    mark: str
    status: int
    body: Json
    answer: Json
    # The ticket, the run or the req that it is about.
    about: str = ""
    # A request that was repeated may have been done before it was refused.
    was_repeated: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the answer says that it was done."""
        return self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether it certainly was not."""
        return not self.is_done and not self.was_repeated


@dataclass
class Book:
    """What all clients of a drill remember; lists of Python may be added to by any thread."""

    service: Service
    failures: list[BaseException]
    ending: threading.Event = field(default_factory=threading.Event)
    pipelines: list[str] = field(default_factory=list)
    tickets: dict[str, list[str]] = field(default_factory=lambda: {w: [] for w in WORKSPACES})
    tasks: list[str] = field(default_factory=list)
    writes: list[Wrote] = field(default_factory=list)
    claims: list[Json] = field(default_factory=list)

    def of_kind(self, *kinds: str) -> list[Wrote]:
        """Return the writes of some kinds."""
        return [each for each in self.writes if each.kind in kinds]


class Player(ABC):
    """A client with a seed that decides all that it does."""

    def __init__(self, book: Book, name: str, seed: int) -> None:
        self.book = book
        self.name = name
        self.chance = random.Random(f"{seed} {name}")
        self.client = Impatient(book.service, name, self.chance)
        self._marks = 0

    def run(self) -> None:
        """Act until the drill ends."""
        try:
            while not self.book.ending.is_set():
                self.act()
        except Exception as error:  # noqa: BLE001 - raised where the clients are waited for
            self.book.failures.append(error)
            self.book.service.give_up()
        finally:
            self.client.close()

    @abstractmethod
    def act(self) -> None:
        """Do one thing, or a few that belong together."""

    def mark(self) -> str:
        """Return a word that nobody has used before."""
        self._marks += 1
        return f"{self.name}-{self._marks}"

    def dally(self, up_to_ms: int) -> None:
        """Wait a while."""
        self.book.ending.wait(self.chance.random() * up_to_ms / 1000)

    def write(
        self,
        kind: str,
        method: str,
        path: str,
        body: Json | None,
        *,
        mark: str,
        about: str = "",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Wrote:
        """Send a write until it is answered, and remember the answer."""
        found = self.client.exchange(method, path, body, token=token, headers=headers)
        status, text = found.answer.status, found.answer.body
        is_expected = status in (
            200,
            201,
            204,
            404,
            409,
            410,
            422,
            *MORE_REFUSALS.get(kind, ()),
        )
        assert is_expected, (method, path, body, found.answer)
        answer = found.answer.json if text else {}
        wrote = Wrote(kind, mark, status, body or {}, answer, about, found.was_repeated)
        self.book.writes.append(wrote)
        return wrote


def some(chance: random.Random, acts: Mapping[Any, int]) -> Any:
    """Return one of several things, each as often as its weight says."""
    return chance.choices(list(acts), list(acts.values()))[0]
