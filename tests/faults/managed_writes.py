"""What managers of tasks write, beside the operations of clients in writes.py."""

from __future__ import annotations

from tests.faults.writes import PREPARED, Place, Work, doing

__all__ = ["PREPARED"]


@doing("managed.hold")
def managed_hold(at: Place) -> Work:
    task_id = at.claimed().task.id
    return lambda: at.world.do.managed.hold(task_id)


@doing("managed.unhold")
def managed_unhold(at: Place) -> Work:
    task_id = at.world.task(at.pipeline_id)
    at.world.do.managed.hold(task_id)
    return lambda: at.world.do.managed.unhold(task_id)


@doing("managed.pin")
def managed_pin(at: Place) -> Work:
    task_id = at.world.task(at.pipeline_id, assigned_agent_id="a2")
    return lambda: at.world.do.managed.pin(task_id, "a1", assigned_by="manager")


@doing("managed.set_priority")
def managed_set_priority(at: Place) -> Work:
    task_id = at.claimed().task.id
    return lambda: at.world.do.managed.set_priority(task_id, 7)


@doing("managed.withdraw")
def managed_withdraw(at: Place) -> Work:
    task_id = at.claimed().task.id
    return lambda: at.world.do.managed.withdraw(task_id, reason="r", details={"by": "m"})
