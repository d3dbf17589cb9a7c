"""A service with something of everything in it, asked as gunicorn asks, without manners.

Whatever is sent, ``send`` holds the answer to what every answer promises; ``send_whole`` also
looks whether a refused write left something behind.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.conftest import FrozenClock
from tests.factories import REVIEW, Json, bearer
from tests.faults.states import digest
from tests.linear.faults import nowhere
from tests.scratch import scratch_world
from tests.tickets import TicketPlace
from tests.vaults import PassingVault
from tests.worlds import World
from tickets.app import Application
from tickets.config import Settings
from tickets.errors import TicketsError
from tickets.ids import new_id
from tickets.ledger.domain.documents import NewDelivery, NewLedgerEvent
from tickets.lifecycle.domain.documents import (
    AgentDocument,
    NewCollaborator,
    NewComment,
    TeamDocument,
)
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.sync_documents import IntegrationDocument
from tickets.tracker.domain.records import Claim

Headers = Iterable[tuple[str, str]]

# Who has tasks and is registered, and never comes.
NOBODY = "nobody here"
MAX_BODY_BYTES = 64 << 10
JSON = ("Content-Type", "application/json")
# What gunicorn lets through; another value would end the connection with a 500.
_HEADER_VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")


def _family(kind: type[TicketsError]) -> Iterator[type[TicketsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


REFUSALS = {(kind.code, kind.status) for kind in _family(TicketsError)}


@dataclass(frozen=True)
class Answer:
    """What came back; ``json`` is None where it is no JSON."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if "json" in self.headers.get("content-type", "") else None

    @property
    def code(self) -> str | None:
        """The code of a refusal, None for every other answer."""
        return None if self.status < 400 else self.json["error"]["code"]


class Place:
    """The application, and ids of what is in it."""

    def __init__(
        self, world: World, clock: FrozenClock, *, api_token: str | None = None
    ) -> None:
        self.world = world
        self.clock = clock
        settings = Settings(
            db=Path("unused"),
            wait_slots=0,
            max_body_bytes=MAX_BODY_BYTES,
            api_token=api_token,
        )
        self.app = Application(
            world.db,
            settings,
            clock,
            random_unit=lambda: 0.5,
            linear=nowhere,
            vault=PassingVault(),
        )
        self.pipeline_id = world.pipeline(REVIEW)
        self.target_id = world.task(self.pipeline_id, assigned_agent_id=NOBODY)
        self.task_id, self.claim = self.held()
        self.told()
        self.desk = TicketPlace(world.lifecycle)
        agent = AgentDocument(role="coder")
        world.lifecycle.agents.put(self.desk.workspace_id, NOBODY, agent)
        team = TeamDocument(name="f", agent_ids=[])
        world.lifecycle.teams.put(self.desk.workspace_id, "free", team)
        self.ticket, self.other_ticket = self.opened(), self.desk.ticket()
        self.connect()

    def connect(self) -> None:
        """Connect the workspace with Linear, where nobody answers."""
        document = IntegrationDocument(
            enabled=True,
            auth_kind="api_key",
            api_key="key",
            team_id="team",
            webhook_secrets=["secret"],
        )
        self.app.lifecycle.integrations.put(self.desk.workspace_id, document)

    def told(self) -> None:
        """Tell the ledger of a piece of work, and of a message about it."""
        event = NewLedgerEvent(state="QUEUED", actor="a", source="s", req="a req")
        self.app.ledger.events.append(event, scope=None)
        message = NewDelivery(channel="c", dedupe_key="k", cooldown_ms=0)
        self.delivery_id = self.app.ledger.deliveries.decide(message).delivery_id

    def opened(self) -> Ticket:
        """Make one more ticket that is open, with a collaborator and a comment."""
        desk, ticket = self.desk, self.desk.ticket(labels=["l"])
        added = NewCollaborator(collaborator_id=desk.other_agent_id)
        desk.do.collaborators.add(desk.scope, ticket.id, added)
        desk.do.comments.add(desk.scope, ticket.id, NewComment(body="b"))
        return ticket

    def renew(self) -> None:
        """Hold another task, and have another ticket open, because something was ended."""
        self.task_id, self.claim = self.held()
        self.ticket = self.opened()

    def held(self) -> tuple[str, Claim]:
        """Make one more task that somebody holds."""
        # A role of its own, so that no other task is in the way.
        role = new_id()
        coding = {"coding": {"agent_role": role}}
        pipeline_id = self.world.pipeline({**REVIEW, "states": {**REVIEW["states"], **coding}})
        task_id = self.world.task(pipeline_id)
        return task_id, self.world.claim(role, lease_ttl_ms=80_000_000)

    @property
    def ids(self) -> dict[str, str]:
        """The parameters of paths, all of them known."""
        return {
            "pipeline_id": self.pipeline_id,
            "task_id": self.task_id,
            "depends_on_task_id": self.target_id,
            "run_id": self.claim.run.id,
            "lease_id": self.claim.lease_id,
            "agent_id": NOBODY,
            "namespace": "ns",
            "key": "key",
            "req": "a req",
            "delivery_id": str(self.delivery_id),
            "workspace_id": self.desk.workspace_id,
            "team_id": "free",
            "ticket_id": self.ticket.id,
            "other_ticket_id": self.other_ticket.id,
            "label": "l",
            "collaborator_id": self.desk.other_agent_id,
            "link_id": "no link",
        }

    @property
    def holder(self) -> tuple[str, str]:
        """The header of who holds the task."""
        ((name, value),) = bearer(self.claim.lease_token).items()
        return name, value

    def send(
        self, method: str, target: str, body: bytes = b"", headers: Headers = ()
    ) -> Answer:
        """Send a request; every answer is a success or a refusal in the one shape."""
        headers = list(headers)
        if target.startswith("/ticket"):
            headers.append(("X-Workspace-Id", self.desk.workspace_id))
        answer = self._ask(environ(method, target, body, headers))
        sent = (method, target, body[:500], list(headers), answer)
        assert answer.status < 500, sent
        for name, value in answer.headers.items():
            assert _HEADER_VALUE.fullmatch(value), (name, sent)
        if answer.status >= 400 and method != "HEAD":
            error = answer.json["error"]
            assert {"code", "message"} <= set(error) <= {"code", "message", "details"}, sent
            assert (error["code"], answer.status) in REFUSALS, sent
        return answer

    def send_whole(self, *request: Any, **more: Any) -> Answer:
        """Do the same; a request that is refused leaves the database as it was."""
        before = digest(self.world.db)
        answer = self.send(*request, **more)
        if answer.status >= 400:
            assert digest(self.world.db) == before, (request, more, answer)
        return answer

    def send_json(self, method: str, target: str, document: Any) -> Answer:
        """Send a document as whoever holds the task."""
        body = json.dumps(document).encode()
        return self.send_whole(method, target, body=body, headers=[JSON, self.holder])

    def _ask(self, env: Json) -> Answer:
        shown: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            shown[:] = [status, headers]

        body = b"".join(self.app(env, start_response))
        status, headers = shown
        return Answer(int(status[:3]), {name.lower(): value for name, value in headers}, body)


def environ(method: str, target: str, body: bytes, headers: Headers) -> Json:
    """Return what gunicorn makes of a request."""
    path, _, query = target.partition("?")
    made: Json = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "t",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            made[key] = value
        elif f"HTTP_{key}" in made:
            made[f"HTTP_{key}"] += f",{value}"
        else:
            made[f"HTTP_{key}"] = value
    return made


@contextmanager
def a_place(*, api_token: str | None = None) -> Iterator[Place]:
    """Give a place of one's own; nothing of it is left."""
    with scratch_world() as (world, clock):
        yield Place(world, clock, api_token=api_token)
