"""Who manages tasks besides the clients, and is told what becomes of them."""

from __future__ import annotations

from typing import Any, Protocol

from tickets.db.database import Row, Transaction
from tickets.errors import TicketsError
from tickets.tracker.domain.pipelines import Stage


class TaskManager(Protocol):
    """Is told what becomes of its tasks, in the transaction of the fact and after its writes.

    What it raises undoes the fact, so ``on_transition`` may refuse one.
    """

    def refusal(self) -> TicketsError:
        """Return what a client is told who changes what is the manager's to change."""

    def on_claim(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        attempt: int,
        agent_id: str,
        expires_at_ms: int,
        now_ms: int,
    ) -> None:
        """A lease was granted."""

    def on_heartbeat(
        self, tx: Transaction, task_id: str, *, run_id: str, expires_at_ms: int, now_ms: int
    ) -> None:
        """A lease was extended. On PostgreSQL its row is locked, and the task's is not."""

    def on_event(
        self, tx: Transaction, task_id: str, *, run_id: str, kind: str, data: Any, now_ms: int
    ) -> None:
        """The agent reported something."""

    def on_alive(self, tx: Transaction, task_id: str, *, now_ms: int) -> None:
        """The agent is at work: told once after all that it reported in one request."""

    def on_transition(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        stage: Stage,
        instructions: str,
        output: Any,
        now_ms: int,
    ) -> None:
        """A run was completed and its task is in ``stage``. ``output`` is UNSET without one."""

    def on_fail(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        error: str | None,
        is_dead: bool,
        now_ms: int,
    ) -> None:
        """A run failed; the task waits for its next try, or was given up."""

    def on_release(self, tx: Transaction, task_id: str, *, run_id: str, now_ms: int) -> None:
        """The agent gave the task back."""

    def on_lease_expired(
        self, tx: Transaction, task_id: str, *, run_id: str, now_ms: int
    ) -> None:
        """A lease ran out; that is never charged to a managed task."""


class Managers:
    """Who manages which tasks, by the name that their rows carry."""

    def __init__(self) -> None:
        self._by_name: dict[str, TaskManager] = {}

    def add(self, name: str, manager: TaskManager) -> None:
        """Let ``manager`` be told of tasks that were made in this name."""
        self._by_name[name] = manager

    def of(self, row: Row) -> TaskManager | None:
        """Return the manager of a task or lease, None for what clients made."""
        name = row["manager"]
        return None if name is None else self._by_name[name]

    def check_free(self, row: Row) -> None:
        """Return where a client may change the task. Raises what its manager says."""
        manager = self.of(row)
        if manager is not None:
            raise manager.refusal()
