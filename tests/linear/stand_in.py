"""A stand-in for Linear: its GraphQL API and its webhooks, as far as the service meets them.

What it imitates: documents are parsed and validated against Linear's own types; ids may be
chosen by the client and are refused a second time; every change moves ``updatedAt`` and causes
a webhook; mistakes are answered with the codes, types and HTTP statuses that Linear uses.

``faults`` are taken one for each request, in order. Webhooks pile up in ``webhooks`` until a
test delivers them: late, twice, or in another order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from graphql import graphql_sync

from tests.linear.faults import Fault, not_found, refusal
from tests.linear.graph import SCHEMA, Root
from tickets.clock import Clock
from tickets.lifecycle.linear.errors import Passing
from tickets.lifecycle.linear.issues import write_time
from tickets.lifecycle.linear.signature import sign
from tickets.lifecycle.linear.transport import Answer

Json = dict[str, Any]

STATES = (
    ("Triage", "triage", 0),
    ("Backlog", "backlog", 1),
    ("Todo", "unstarted", 2),
    ("In Progress", "started", 3),
    ("In Review", "started", 4),
    ("Blocked", "started", 5),
    ("Done", "completed", 6),
    ("Canceled", "canceled", 7),
    ("Duplicate", "duplicate", 8),
)


@dataclass(frozen=True)
class Call:
    """A request that arrived, and when."""

    operation: str
    variables: Json
    at_ms: int
    authorization: str


@dataclass(frozen=True)
class Webhook:
    """A webhook that Linear wants to deliver; ``sent`` signs it at some time."""

    delivery: str
    event: str
    payload: Json

    def sent(self, secret: str, at_ms: int) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a try to deliver it."""
        body = json.dumps({**self.payload, "webhookTimestamp": at_ms}).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Linear-Webhook",
            "Linear-Delivery": self.delivery,
            "Linear-Event": self.event,
            "Linear-Signature": sign(body, secret),
            "Linear-Timestamp": str(at_ms),
        }
        return headers, body


class StandIn:
    """A workspace of Linear's with one team. It is a transport for LinearClient itself."""

    def __init__(self, clock: Clock, *, key: str = "lin_api_secret") -> None:
        self._clock = clock
        self.key = key
        self.team_id = str(uuid4())
        self.viewer_id = str(uuid4())
        self.users = {self.viewer_id: "Robot"}
        self.states = [
            {
                "id": str(uuid4()),
                "name": name,
                "type": type_,
                "position": position,
                "color": "#fff",
            }
            for name, type_, position in STATES
        ]
        self.labels: dict[str, str] = {}
        self.issues: dict[str, Json] = {}
        self.comments: dict[str, Json] = {}
        self.relations: dict[str, Json] = {}
        self.calls: list[Call] = []
        self.faults: deque[Fault] = deque()
        self.webhooks: list[Webhook] = []
        # Called before a mutation's answer goes out, as a webhook may arrive before it.
        self.before_answer: Callable[[], None] | None = None

    # The API.

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request. Raises Passing where the answer is lost on the way."""
        document = json.loads(body)
        operation = document["query"].split("(")[0].split("{")[0].split()[-1]
        self.calls.append(
            Call(
                operation, document["variables"], self._clock.now_ms(), headers["Authorization"]
            )
        )
        fault = self.faults.popleft() if self.faults else None
        answer = None
        if fault is None or fault.performed:
            answer = self._answer(headers, document)
        if self.before_answer is not None:
            self.before_answer()
        if fault is not None and fault.is_lost:
            raise Passing("no answer from Linear (TimeoutError)")
        if fault is not None:
            return Answer(fault.status, fault.headers, fault.body)
        assert answer is not None
        return answer

    def _answer(self, headers: Mapping[str, str], document: Json) -> Answer:
        if headers["Authorization"] not in (self.key, f"Bearer {self.key}"):
            refused = refusal(
                401,
                "Authentication required, not authenticated",
                type="authentication error",
                code="AUTHENTICATION_ERROR",
                statusCode=401,
                userError=True,
                userPresentableMessage="You need to authenticate to access this operation.",
            )
            return Answer(refused.status, {}, refused.body)
        result = graphql_sync(
            SCHEMA, document["query"], Root(self), variable_values=document["variables"]
        )
        shown = result.formatted
        status = 200
        for error in shown.get("errors", ()):
            if "extensions" not in error:
                status = 400
                error["extensions"] = {
                    "type": "graphql error",
                    "code": "GRAPHQL_VALIDATION_FAILED",
                }
        quota = {"x-ratelimit-requests-limit": "1500", "x-ratelimit-requests-remaining": "1499"}
        return Answer(status, quota, json.dumps(shown).encode())

    # What people do in Linear.

    def state(self, name: str) -> Json:
        """Return a state of the team."""
        return next(state for state in self.states if state["name"] == name)

    def add_user(self, name: str = "Ann") -> str:
        """Let somebody join; return the id."""
        id_ = str(uuid4())
        self.users[id_] = name
        return id_

    def make_issue(self, *, actor: str | None = None, **fields: Any) -> str:
        """Create an issue by hand; return its id."""
        id_ = str(uuid4())
        self.insert(id_, fields, actor or self.add_user())
        return id_

    def edit(self, issue_id: str, *, actor: str | None = None, **fields: Any) -> None:
        """Change an issue by hand; ``state`` is the name of a state, ``labels`` are names."""
        self.change(issue_id, fields, actor or self.add_user())

    def trash(self, issue_id: str) -> None:
        """Throw an issue away."""
        issue = self.issues[issue_id]
        issue["trashed"] = True
        issue["updatedAt"] = write_time(self._clock.now_ms())
        self._tell("remove", "Issue", self._shown(issue), self.add_user())

    def comment(self, issue_id: str, body: str, *, actor: str | None = None) -> str:
        """Comment on an issue by hand; return the id of the comment."""
        id_ = str(uuid4())
        self.add_comment(id_, issue_id, body, actor or self.add_user())
        return id_

    # What both do.

    def insert(self, id_: str, fields: Json, actor: str) -> Json:
        """Create an issue and tell of it."""
        now = write_time(self._clock.now_ms())
        number = len(self.issues) + 1
        issue: Json = {
            "id": id_,
            "identifier": f"ENG-{number}",
            "number": number,
            "url": f"https://linear.app/acme/issue/ENG-{number}",
            "title": "",
            "description": None,
            "priority": 0,
            "createdAt": now,
            "updatedAt": now,
            "trashed": None,
            "stateId": self.state("Backlog")["id"],
            "labelIds": [],
            "assigneeId": None,
            "parentId": None,
        }
        issue.update(self._columns(fields))
        self.issues[id_] = issue
        self._tell("create", "Issue", self._shown(issue), actor)
        return issue

    def change(self, id_: str, fields: Json, actor: str) -> Json:
        """Change an issue and, where that made a difference, tell of it."""
        issue = self.issues[id_]
        before = dict(issue)
        issue.update(self._columns(fields))
        changed = {name: value for name, value in before.items() if issue[name] != value}
        if changed:
            changed["updatedAt"] = before["updatedAt"]
            issue["updatedAt"] = write_time(self._clock.now_ms())
            self._tell("update", "Issue", self._shown(issue), actor, updatedFrom=changed)
        return issue

    def add_comment(self, id_: str, issue_id: str, body: str, actor: str) -> Json:
        """Comment on an issue and tell of it."""
        now = write_time(self._clock.now_ms())
        shown = {
            "id": id_,
            "body": body,
            "issueId": issue_id,
            "userId": actor,
            "createdAt": now,
            "updatedAt": now,
        }
        self.comments[id_] = shown
        self._tell("create", "Comment", shown, actor)
        return shown

    def label_id(self, name: str) -> str:
        """Return the id of a label, which is created where there is none."""
        for id_, known in self.labels.items():
            if known.casefold() == name.casefold():
                return id_
        id_ = str(uuid4())
        self.labels[id_] = name
        return id_

    def named(self, issue_id: str) -> Json:
        """Return an issue with its state and labels by name."""
        issue = self.issues[issue_id]
        names = {state["id"]: state["name"] for state in self.states}
        return {
            **issue,
            "state": names[issue["stateId"]],
            "labels": [self.labels[id_] for id_ in issue["labelIds"]],
        }

    def operations(self) -> list[str]:
        """Return the names of all requests so far."""
        return [call.operation for call in self.calls]

    def _columns(self, fields: Json) -> Json:
        columns = dict(fields)
        if "state" in columns:
            columns["stateId"] = self.state(columns.pop("state"))["id"]
        if "labels" in columns:
            columns["labelIds"] = [self.label_id(name) for name in columns.pop("labels")]
        if "updated_at_ms" in columns:
            columns["updatedAt"] = write_time(columns.pop("updated_at_ms"))
        for unknown in set(columns.get("labelIds") or ()) - set(self.labels):
            raise not_found("IssueLabel", unknown)
        return columns

    def _shown(self, issue: Json) -> Json:
        """Return an issue as a webhook has it."""
        state = next(each for each in self.states if each["id"] == issue["stateId"])
        labels = [{"id": id_, "name": self.labels[id_]} for id_ in issue["labelIds"]]
        team = {"id": self.team_id, "key": "ENG", "name": "Engineering"}
        shown = {**issue, "state": state, "labels": labels, "team": team, "teamId": team["id"]}
        return {name: value for name, value in shown.items() if value is not None}

    def _tell(self, action: str, type_: str, data: Json, actor: str, **more: Any) -> None:
        payload = {
            "action": action,
            "type": type_,
            "actor": {"id": actor, "name": self.users[actor], "type": "user"},
            "createdAt": data["updatedAt"],
            "data": data,
            "url": data.get("url", "https://linear.app/acme"),
            "organizationId": "0b1f5b2c-0000-4000-8000-000000000000",
            "webhookId": "0b1f5b2c-0000-4000-8000-000000000001",
            **more,
        }
        # As it is now: the issue goes on changing.
        self.webhooks.append(Webhook(str(uuid4()), type_, json.loads(json.dumps(payload))))
