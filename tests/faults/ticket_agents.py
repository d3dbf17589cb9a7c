"""Agents that work on tickets with short leases: they report, move, fail, give back, or fall
asleep."""

from __future__ import annotations

from typing import Any

from tests.factories import Json
from tests.faults.agents import TTLS_MS, WAIT_MS
from tests.faults.ticket_book import ROLES, TRIGGERS, Player, Wrote, some


class Worker(Player):
    """One of the agents of a workspace; the end of its name says which."""

    @property
    def agent_id(self) -> str:
        """The id under which it claims."""
        return self.name.removeprefix("agent-")

    @property
    def _workspace_id(self) -> str:
        return self.agent_id.split("-")[0]

    def act(self) -> None:
        """Claim something, and work on it."""
        wanted = {
            "agent_id": self.agent_id,
            "agent_role": ROLES[self.agent_id.split("-")[1]],
            "lease_ttl_ms": self.chance.choice(TTLS_MS),
            "wait_ms": self.chance.choice([0, WAIT_MS]),
        }
        found = self.write("claim", "POST", "/leases/claim", wanted, mark=self.mark())
        if found.status == 200:
            self.book.claims.append(found.answer)
            self._work(found.answer)
        else:
            # 409: it was granted, the answer was lost, and the lease is over by now.
            assert found.status in (204, 409), found
            self.dally(10)

    def _work(self, claim: Json) -> None:
        for _ in range(self.chance.randrange(4)):
            act = some(
                self.chance,
                {
                    self._note: 4,
                    self._keep: 2,
                    self._say: 2,
                    self._output: 1,
                    self._block: 2,
                    self._unblock: 1,
                },
            )
            act(claim)
            if self.chance.random() < 0.15:
                self.dally(self.chance.choice(TTLS_MS))
        is_own = "ticket_id" not in claim["task"]["metadata"]
        end = some(
            self.chance,
            {
                self._move: 2 if is_own else 12,
                self._fail: 2,
                self._release: 2,
                self._note: 1,
                self._end_ticket: 2,
            },
        )
        end(claim)
        if self.chance.random() < 0.15:
            # Again, although it is over: nothing may come of it.
            self.chance.choice((self._note, self._move, self._fail))(claim)

    def _on(self, kind: str, claim: Json, part: str, body: Json, *, mark: str = "") -> Wrote:
        run_id = claim["run"]["id"]
        return self.write(
            kind,
            "POST",
            f"/runs/{run_id}/{part}",
            body,
            mark=mark or self.mark(),
            about=run_id,
            token=claim["lease_token"],
        )

    def _event(self, claim: Json, kind: str, **data: Any) -> None:
        mark = self.mark()
        body = {"kind": kind, "data": {**data, "mark": mark}}
        self._on("event", claim, "events", body, mark=mark)

    def _note(self, claim: Json) -> None:
        self._event(claim, "step")

    def _keep(self, claim: Json) -> None:
        path = f"/leases/{claim['lease_id']}/heartbeat"
        body = {"lease_ttl_ms": self.chance.choice(TTLS_MS)}
        self.write(
            "heartbeat", "POST", path, body, mark=self.mark(), token=claim["lease_token"]
        )

    def _say(self, claim: Json) -> None:
        mark = self.mark()
        body = {"kind": "ticket.comment", "data": {"body": mark, "mark": mark}}
        self._on("event", claim, "events", body, mark=mark)

    def _output(self, claim: Json) -> None:
        self._event(claim, "ticket.output", output={"mark": self.mark()})

    def _block(self, claim: Json) -> None:
        more = {}
        known = self.book.tickets[self._workspace_id]
        # An agent may be told of the first ticket before its author has the answer.
        if self.chance.random() < 0.4 and known:
            more["blocked_by_ticket_id"] = self.chance.choice(known[-8:])
        self._event(claim, "ticket.blocked", reason="r", **more)

    def _unblock(self, claim: Json) -> None:
        self._event(claim, "ticket.unblocked")

    def _move(self, claim: Json) -> None:
        mark = self.mark()
        body: Json = {"trigger": self.chance.choice(TRIGGERS[claim["task"]["stage"]])}
        if self.chance.random() < 0.7:
            body["output"] = {"mark": mark}
        self._on("transition", claim, "transition", body, mark=mark)

    def _fail(self, claim: Json) -> None:
        mark = self.mark()
        self._on("fail", claim, "fail", {"error": mark}, mark=mark)

    def _release(self, claim: Json) -> None:
        mark = self.mark()
        self._on("release", claim, "release", {"reason": mark}, mark=mark)

    def _end_ticket(self, claim: Json) -> None:
        """Bring the ticket itself to its end, or to a stop, as its agent."""
        ticket_id = claim["task"]["metadata"].get("ticket_id")
        if ticket_id is None:
            self._move(claim)
            return
        mark = self.mark()
        ways: list[Json] = [
            {"to": "done", "output_json": {"mark": mark}},
            {"to": "failed", "error_message": mark},
            {"to": "blocked", "reason": mark},
        ]
        self.write(
            "holder",
            "POST",
            f"/tickets/{ticket_id}/transition?workspace_id={self._workspace_id}",
            self.chance.choice(ways),
            mark=mark,
            about=ticket_id,
            headers={"X-Lease-Token": claim["lease_token"]},
        )
