"""What we ask of Linear, in Python: a method is one request, or several for a long list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tickets.clock import Clock
from tickets.lifecycle.linear import documents
from tickets.lifecycle.linear.answers import data_of
from tickets.lifecycle.linear.errors import AlreadyThere, LinearFailure, NotThere, Refused
from tickets.lifecycle.linear.issues import Issue, Unreadable, read_issue, write_time
from tickets.lifecycle.linear.states import State
from tickets.lifecycle.linear.transport import Transport, post

DEFAULT_URL: Final = "https://api.linear.app/graphql"
# Enough of Linear's own words to see what it was about.
MAX_TEXT: Final = 300
# A list that does not end is a mistake of somebody's.
MAX_PAGES: Final = 200

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """What proves to Linear who we are; never shown, not even by accident."""

    kind: str
    secret: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of ``Authorization``: a personal key as it is, an OAuth token as bearer."""
        return f"Bearer {self.secret}" if self.kind == "oauth" else self.secret


@dataclass(frozen=True, slots=True)
class Team:
    """A team of Linear's and the states that its issues can be in."""

    id: str
    name: str
    states: tuple[State, ...]


class LinearClient:
    """Linear's API for one key. Every method raises LinearFailure."""

    def __init__(
        self, key: Key, clock: Clock, *, url: str = DEFAULT_URL, transport: Transport = post
    ) -> None:
        self._key = key
        self._clock = clock
        self._url = url
        self._transport = transport

    def viewer_id(self) -> str:
        """Return the id of the user whose key it is."""
        return _id(self._ask(documents.VIEWER, {}, "viewer"), "viewer")

    def team(self, team_id: str) -> Team:
        """Return a team with its states."""
        found = self._ask(documents.TEAM, {"id": team_id}, "team")
        states = tuple(State.read(node) for node in _nodes(found.get("states")))
        return Team(_id(found, "team"), str(found.get("name") or ""), states)

    def issue(self, issue_id: str) -> Issue | None:
        """Return an issue, None where there is none of this id."""
        try:
            return _issue(self._ask(documents.ISSUE, {"id": issue_id}, "issue"))
        except NotThere:
            return None

    def issues_since(self, team_id: str, since_ms: int) -> Iterator[list[Issue]]:
        """Yield pages of a team's issues that changed at or after a time, in no known order.

        One that cannot be read is left out, so that it does not hide all that follow.
        """
        variables = {"teamId": team_id, "since": write_time(since_ms)}
        for nodes in self._pages(documents.ISSUES, variables, "issues"):
            page = []
            for node in nodes:
                with suppress(Unreadable):
                    page.append(read_issue(node))
            yield page

    def create_issue(self, values: Json) -> tuple[Issue, bool]:
        """Create an issue under the ``id`` in ``values``, or return the one that has it.

        Tell whether it was created now: an older one may have changed since it was.
        """
        try:
            made = self._changed(documents.ISSUE_CREATE, {"input": values}, "issueCreate")
        except AlreadyThere:
            found = self.issue(values["id"])
            if found is None:
                raise
            return found, False
        return made, True

    def update_issue(self, issue_id: str, values: Json) -> Issue:
        """Change an issue."""
        variables = {"id": issue_id, "input": values}
        return self._changed(documents.ISSUE_UPDATE, variables, "issueUpdate")

    def labels(self, team_id: str) -> dict[str, str]:
        """Return the ids of the labels that an issue of the team may have, by folded name."""
        found: dict[str, str] = {}
        for nodes in self._pages(documents.LABELS, {"teamId": team_id}, "issueLabels"):
            for node in nodes:
                name = str(node.get("name") or "").casefold()
                found.setdefault(name, _id(node, "issueLabels"))
        return found

    def create_label(self, team_id: str, name: str) -> str:
        """Create a label of the team; return its id."""
        variables = {"input": {"teamId": team_id, "name": name}}
        made = self._succeed(documents.LABEL_CREATE, variables, "issueLabelCreate")
        return _id(made.get("issueLabel"), "issueLabelCreate")

    def create_comment(self, values: Json) -> None:
        """Comment on an issue under the ``id`` in ``values``; harmless a second time."""
        self._once(documents.COMMENT_CREATE, {"input": values}, "commentCreate")

    def create_relation(self, values: Json) -> None:
        """Relate two issues under the ``id`` in ``values``; harmless a second time."""
        self._once(documents.RELATION_CREATE, {"input": values}, "issueRelationCreate")

    def delete_relation(self, relation_id: str) -> None:
        """Take a relation away; harmless where there is none."""
        with suppress(NotThere):
            self._succeed(documents.RELATION_DELETE, {"id": relation_id}, "issueRelationDelete")

    def _once(self, document: str, variables: Json, name: str) -> None:
        with suppress(AlreadyThere):
            self._succeed(document, variables, name)

    def _changed(self, document: str, variables: Json, name: str) -> Issue:
        issue = self._succeed(document, variables, name).get("issue")
        if not isinstance(issue, dict):
            raise Refused(f"{name} returned no issue")
        return _issue(issue)

    def _succeed(self, document: str, variables: Json, name: str) -> Json:
        payload = self._ask(document, variables, name)
        if payload.get("success") is not True:
            raise Refused(f"{name}: success is false")
        return payload

    def _pages(self, document: str, variables: Json, name: str) -> Iterator[list[Json]]:
        after: str | None = None
        for _ in range(MAX_PAGES):
            connection = self._ask(document, {**variables, "after": after}, name)
            yield _nodes(connection)
            after = _next_page(connection.get("pageInfo"))
            if after is None:
                return
        raise Refused(f"{name}: the list does not end")

    def _ask(self, document: str, variables: Json, name: str) -> Json:
        """Send one document and return the value of its one field."""
        headers = {
            "Authorization": self._key.header,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "tickets",
        }
        body = orjson.dumps({"query": document, "variables": variables})
        answer = self._transport(self._url, headers, body)
        try:
            data = data_of(
                answer.status, answer.headers, answer.body, now_ms=self._clock.now_ms()
            )
        except LinearFailure as failure:
            raise self._without_key(failure) from None
        found = data.get(name)
        if found is None:
            raise NotThere(f"{name}: nothing was found")
        if not isinstance(found, dict):
            raise _odd(name)
        return found

    def _without_key(self, failure: LinearFailure) -> LinearFailure:
        """Return a failure in whose text the key does not stand, whatever Linear repeats.

        The text is cut after that, since a cut could leave a part of the key.
        """
        failure.args = tuple(
            each.replace(self._key.secret, "…")[:MAX_TEXT] if isinstance(each, str) else each
            for each in failure.args
        )
        return failure


def _odd(name: str) -> Refused:
    return Refused(f"{name}: the answer has another form than expected")


def _id(document: object, name: str) -> str:
    """Return the id of what was answered under a name. Raises Refused."""
    id_ = document.get("id") if isinstance(document, dict) else None
    if not isinstance(id_, str) or not id_:
        raise _odd(name)
    return id_


def _next_page(info: object) -> str | None:
    """Return where the rest of a list begins, None where there is no rest."""
    if not isinstance(info, dict) or info.get("hasNextPage") is not True:
        return None
    after = info.get("endCursor")
    return after if isinstance(after, str) and after else None


def _issue(document: Mapping[str, Any]) -> Issue:
    try:
        return read_issue(document)
    except Unreadable as error:
        raise Refused(f"the issue cannot be read: {error}") from error


def _nodes(connection: object) -> list[Json]:
    nodes = connection.get("nodes") if isinstance(connection, dict) else None
    return [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
