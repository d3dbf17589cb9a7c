"""The fields of Linear's Query and Mutation, answered by the stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from graphql import build_schema

from tests.linear.faults import not_found, taken
from tickets.lifecycle.linear.issues import read_time_ms

if TYPE_CHECKING:
    from tests.linear.stand_in import StandIn

Json = dict[str, Any]

SCHEMA = build_schema(Path(__file__).with_name("schema.graphql").read_text())


class Root:
    """The fields of Query and Mutation."""

    def __init__(self, linear: StandIn) -> None:
        self._linear = linear

    def viewer(self, _: Any) -> Json:
        return {"id": self._linear.viewer_id, "name": "Robot"}

    def team(self, _: Any, id: str) -> Json:  # noqa: A002  # named by Linear
        if id != self._linear.team_id:
            raise not_found("Team", id)
        return self._team()

    def issue(self, _: Any, id: str) -> Json:  # noqa: A002  # named by Linear
        if id not in self._linear.issues:
            raise not_found("Issue", id)
        return self._node(self._linear.issues[id])

    def issues(self, _: Any, first: int, after: str | None, **named: Any) -> Json:
        assert named["orderBy"] == "updatedAt"
        since_ms = read_time_ms(named["filter"]["updatedAt"]["gte"])
        assert named["filter"]["team"]["id"]["eq"] == self._linear.team_id
        # The newest first, as Linear has them.
        found = sorted(
            (
                issue
                for issue in self._linear.issues.values()
                if read_time_ms(issue["updatedAt"]) >= since_ms
            ),
            key=lambda issue: issue["updatedAt"],
            reverse=True,
        )
        start = int(after or 0)
        end = start + first
        info = {"hasNextPage": end < len(found), "endCursor": str(end)}
        return {"nodes": [self._node(issue) for issue in found[start:end]], "pageInfo": info}

    def issueLabels(self, _: Any, **__: Any) -> Json:  # named by Linear
        nodes = [{"id": id_, "name": name} for id_, name in self._linear.labels.items()]
        return {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}

    def issueCreate(self, _: Any, input: Json) -> Json:  # noqa: A002  # named by Linear
        id_ = input.pop("id", None) or str(uuid4())
        if id_ in self._linear.issues:
            raise taken("Issue", id_)
        if input.pop("teamId") != self._linear.team_id:
            raise not_found("Team", "")
        self._check(input)
        return self._payload(self._linear.insert(id_, input, self._linear.viewer_id))

    def issueUpdate(self, _: Any, id: str, input: Json) -> Json:  # noqa: A002  # named by Linear
        if id not in self._linear.issues:
            raise not_found("Issue", id)
        self._check(input)
        return self._payload(self._linear.change(id, input, self._linear.viewer_id))

    def issueLabelCreate(self, _: Any, input: Json) -> Json:  # noqa: A002  # named by Linear
        if input["name"].casefold() in map(str.casefold, self._linear.labels.values()):
            raise taken("IssueLabel", input["name"])
        id_ = self._linear.label_id(input["name"])
        return {"success": True, "issueLabel": {"id": id_, "name": input["name"]}}

    def commentCreate(self, _: Any, input: Json) -> Json:  # noqa: A002  # named by Linear
        if input["id"] in self._linear.comments:
            raise taken("Comment", input["id"])
        if input["issueId"] not in self._linear.issues:
            raise not_found("Issue", input["issueId"])
        made = self._linear.add_comment(
            input["id"], input["issueId"], input["body"], self._linear.viewer_id
        )
        return {"success": True, "comment": made}

    def issueRelationCreate(self, _: Any, input: Json) -> Json:  # noqa: A002  # named by Linear
        if input["id"] in self._linear.relations:
            raise taken("IssueRelation", input["id"])
        for side in ("issueId", "relatedIssueId"):
            if input[side] not in self._linear.issues:
                raise not_found("Issue", input[side])
        self._linear.relations[input["id"]] = input
        return {"success": True, "issueRelation": input}

    def issueRelationDelete(self, _: Any, id: str) -> Json:  # noqa: A002  # named by Linear
        if self._linear.relations.pop(id, None) is None:
            raise not_found("IssueRelation", id)
        return {"success": True, "entityId": id}

    def _check(self, fields: Json) -> None:
        parent, assignee = fields.get("parentId"), fields.get("assigneeId")
        if parent is not None and parent not in self._linear.issues:
            raise not_found("Issue", parent)
        if assignee is not None and assignee not in self._linear.users:
            raise not_found("User", assignee)

    def _payload(self, issue: Json) -> Json:
        return {"success": True, "lastSyncId": 1.0, "issue": self._node(issue)}

    def _team(self) -> Json:
        linear = self._linear
        return {
            "id": linear.team_id,
            "name": "Engineering",
            "key": "ENG",
            "states": {"nodes": linear.states},
        }

    def _node(self, issue: Json) -> Json:
        """Return an issue as the API has it."""
        linear = self._linear
        assignee, parent = issue["assigneeId"], issue["parentId"]
        return {
            **issue,
            "team": self._team(),
            "state": next(each for each in linear.states if each["id"] == issue["stateId"]),
            "labels": {
                "nodes": [{"id": id_, "name": linear.labels[id_]} for id_ in issue["labelIds"]],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            },
            "assignee": assignee and {"id": assignee, "name": linear.users[assignee]},
            "parent": parent and self._node(linear.issues[parent]),
        }
