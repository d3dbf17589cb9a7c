"""Whoever sets a place up, and keeps tasks that no ticket has and a ledger of their own."""

from __future__ import annotations

from tests.factories import SIMPLE
from tests.faults.ticket_book import ROLES, STAGES, WORKSPACES, Player, some

# Of tasks, those at the end of the list: others have mostly ended.
RECENT = 12


class Clerk(Player):
    """Somebody who keeps tasks that no ticket has, and a ledger of their own."""

    def act(self) -> None:
        """Make a task, or see to one that was given up; and tell the ledger of something."""
        act = some(self.chance, {self._make: 4, self._cancel: 1, self._requeue: 2})
        act()
        self._tell()
        self._deliver()
        self.dally(60)

    def _make(self) -> None:
        mark = self.mark()
        body = {
            "pipeline_id": self.book.pipelines[-1],
            "title": mark,
            "description": "",
            "retry_policy": {"max_attempts": self.chance.choice([1, 2]), "retry_delay_ms": 5},
        }
        made = self.write("task", "POST", "/tasks", body, mark=mark)
        self.book.tasks.append(made.answer["id"])

    def _cancel(self) -> None:
        self._see_to("cancel")

    def _requeue(self) -> None:
        for _ in range(3):
            self._see_to("requeue")

    def _see_to(self, what: str) -> None:
        if self.book.tasks:
            task_id = self.chance.choice(self.book.tasks[-RECENT:])
            self.write(
                what, "POST", f"/tasks/{task_id}/{what}", {}, mark=self.mark(), about=task_id
            )

    def _tell(self) -> None:
        """Let a piece of work go through the ledger."""
        req = f"own:{self.mark()}"
        for state in ("RECEIVED", "RUNNING", "RUNNING", self._end()):
            mark = self.mark()
            body = {
                "req": req,
                "state": state,
                "actor": self.name,
                "source": "drill",
                "message": mark,
            }
            self.write("ledger", "POST", "/ledger/events", body, mark=mark, about=req)

    def _end(self) -> str:
        return self.chance.choice(["COMPLETED", "FAILED", "BLOCKED"])

    def _deliver(self) -> None:
        """Ask whether a message may be sent that others want to send as well."""
        key = f"message {self.chance.randrange(20)}"
        body = {"channel": "drill", "dedupe_key": key}
        self.write("delivery", "POST", "/ledger/deliveries", body, mark=self.mark(), about=key)


def begin(player: Player) -> None:
    """Make the workspaces, their agents and the pipelines."""
    for definition in (STAGES, SIMPLE):
        name = player.mark()
        body = {"name": name, "definition": definition}
        made = player.write("pipeline", "POST", "/pipelines", body, mark=name)
        player.book.pipelines.append(made.answer["id"])
    for workspace_id in WORKSPACES:
        body = {"id": workspace_id, "name": workspace_id}
        player.write("workspace", "POST", "/workspaces", body, mark=player.mark())
        free_all(player, workspace_id)


def free_all(player: Player, workspace_id: str) -> None:
    """Let everybody in a workspace work on anything."""
    place = f"/workspaces/{workspace_id}"
    for name, role in ROLES.items():
        path = f"{place}/agents/{workspace_id}-{name}"
        player.write("rule", "PUT", path, {"role": role}, mark=player.mark())
    player.write("rule", "PATCH", place, {"status": "active"}, mark=player.mark())
