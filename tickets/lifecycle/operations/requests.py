"""What a row of the outbox asks of Linear: read in a transaction, sent outside of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from tickets.db.database import Row, Transaction
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.linear.client import LinearClient
from tickets.lifecycle.linear.errors import Refused
from tickets.lifecycle.linear.issues import PRIORITIES, Issue
from tickets.lifecycle.linear.states import State, Workflow
from tickets.lifecycle.operations.mirrors import Integration, in_their_words, issue_of


class NotYet(Exception):
    """Another issue has to be created first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that is needed to send one row, without the database.

    ``values`` are ready; ``labels`` and ``status`` want ids that only Linear knows.
    """

    op: str
    issue_id: str
    integration: Integration
    values: dict[str, Any] = field(default_factory=dict)
    labels: list[str] | None = None
    status: str | None = None
    is_duplicate: bool = False
    present: State | None = None
    # The values in our words, which the answer will show us again.
    sent: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it: the issue as it is now, and the team's states if they were read.

    ``is_answer`` says that the issue shows what was sent, and not what became of it since.
    """

    issue: Issue | None = None
    states: tuple[State, ...] | None = None
    is_answer: bool = True


_SIMPLE: Final = ("title", "priority", "description")


def prepared(
    tx: Transaction, integration: Integration, ticket: TicketState, row: Row
) -> Request | None:
    """Return the request of a row, None where there is nothing to ask any more.

    Raises NotYet.
    """
    assert ticket.external_id is not None, "a mirrored ticket has an issue"
    payload = json.loads(row["payload_json"])
    if row["op"] in ("issue_create", "issue_update"):
        return _about_issue(tx, integration, ticket, row["op"], payload["fields"])
    if row["op"] == "comment_create":
        values = {"id": payload["id"], "issueId": ticket.external_id, "body": payload["body"]}
        return _plain(integration, ticket, row["op"], values)
    if row["op"] == "relation_delete":
        return _plain(integration, ticket, row["op"], {"id": payload["id"]})
    _wait_for(tx, payload["other_ticket_id"])
    other = issue_of(tx, payload["other_ticket_id"])
    if other is None:
        return None
    values = {
        "id": payload["id"],
        "type": payload["type"],
        "issueId": ticket.external_id,
        "relatedIssueId": other,
    }
    return _plain(integration, ticket, row["op"], values)


def send(client: LinearClient, request: Request) -> Sent:
    """Ask Linear. Raises LinearFailure."""
    if request.op == "comment_create":
        client.create_comment(request.values)
    elif request.op == "relation_create":
        client.create_relation(request.values)
    elif request.op == "relation_delete":
        client.delete_relation(request.values["id"])
    else:
        return _send_issue(client, request)
    return Sent()


def _send_issue(client: LinearClient, request: Request) -> Sent:
    values = dict(request.values)
    states = None
    if request.status is not None:
        workflow = request.integration.workflow
        if not workflow.states:
            states = client.team(request.integration.team_id).states
            workflow = Workflow(states, workflow.status_map)
        wanted = workflow.push_for(
            request.status, request.present, is_duplicate=request.is_duplicate
        )
        if wanted is not None:
            values["stateId"] = wanted.id
    if request.labels is not None:
        values["labelIds"] = _label_ids(client, request.integration, request.labels)
    if request.op == "issue_create":
        values |= {"id": request.issue_id, "teamId": request.integration.team_id}
        issue, is_new = client.create_issue(values)
        return Sent(issue, states, is_new)
    if not values:
        return Sent(None, states)
    return Sent(client.update_issue(request.issue_id, values), states)


def _label_ids(client: LinearClient, integration: Integration, names: list[str]) -> list[str]:
    """Return the ids of labels, creating those that are missing where that is wanted."""
    known = client.labels(integration.team_id) if names else {}
    ids = []
    for name in names:
        id_ = known.get(name.casefold())
        if id_ is None and integration.create_labels:
            id_ = _new_label(client, integration.team_id, name)
        if id_ is not None:
            ids.append(id_)
    return ids


def _new_label(client: LinearClient, team_id: str, name: str) -> str:
    """Create a label, or take the one that somebody else has created meanwhile."""
    try:
        return client.create_label(team_id, name)
    except Refused:
        found = client.labels(team_id).get(name.casefold())
        if found is None:
            raise
        return found


def _plain(
    integration: Integration, ticket: TicketState, op: str, values: dict[str, Any]
) -> Request:
    assert ticket.external_id is not None, "a mirrored ticket has an issue"
    return Request(op=op, issue_id=ticket.external_id, integration=integration, values=values)


def _about_issue(
    tx: Transaction,
    integration: Integration,
    ticket: TicketState,
    op: str,
    fields: dict[str, Any],
) -> Request | None:
    if fields.get("parent") is not None:
        _wait_for(tx, fields["parent"])
    shadow = tx.one("sync_shadow.get", ticket_id=ticket.id)
    assert shadow is not None, "a mirrored ticket has a shadow"
    known = json.loads(shadow["fields_json"])
    theirs = in_their_words(tx, ticket.workspace_id, fields)
    values: dict[str, Any] = {name: theirs[name] for name in _SIMPLE if name in theirs}
    if "priority" in values:
        values["priority"] = PRIORITIES[values["priority"]]
    if values.get("description", "") is None:
        # Linear leaves a description alone where it is sent null.
        values["description"] = ""
    values |= _people(tx, integration, fields, theirs, known)
    values |= _parent(fields, theirs)
    status = fields.get("status")
    labels = fields.get("labels")
    if op == "issue_update" and not values and status is None and labels is None:
        return None
    assert ticket.external_id is not None, "a mirrored ticket has an issue"
    return Request(
        op=op,
        issue_id=ticket.external_id,
        integration=integration,
        values=values,
        labels=labels,
        status=status,
        is_duplicate=_is_duplicate(tx, ticket),
        present=State.read(known["status"]) if "status" in known else None,
        sent=theirs,
    )


def _people(
    tx: Transaction,
    integration: Integration,
    fields: dict[str, Any],
    theirs: dict[str, Any],
    known: dict[str, Any],
) -> dict[str, Any]:
    """Return the assignee, if Linear is to hear of it.

    An agent whom Linear does not know is not sent, and nobody takes a person off an issue
    because no agent is assigned here.
    """
    if "assignee" not in fields:
        return {}
    if theirs["assignee"] is not None:
        return {"assigneeId": theirs["assignee"]}
    present = known.get("assignee")
    if fields["assignee"] is not None or present is None:
        return {}
    agent_id = tx.value(
        "sync_shadow.agent_of_user",
        workspace_id=integration.workspace_id,
        linear_user_id=present,
    )
    return {} if agent_id is None else {"assigneeId": None}


def _parent(fields: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    if "parent" not in fields or (fields["parent"] is not None and theirs["parent"] is None):
        return {}
    return {"parentId": theirs["parent"]}


def _wait_for(tx: Transaction, ticket_id: str) -> None:
    if tx.value("sync_outbox.has_open_create", ticket_id=ticket_id) is not None:
        raise NotYet


def _is_duplicate(tx: Transaction, ticket: TicketState) -> bool:
    return tx.value("sync_shadow.is_duplicate", ticket_id=ticket.id) is not None


def check_answered(request: Request, sent: Sent) -> None:
    """Return where an issue was answered that is the one asked about. Raises Refused."""
    if sent.issue is not None and sent.issue.id != request.issue_id:
        raise Refused("Linear answered with another issue")
