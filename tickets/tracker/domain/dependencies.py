"""Dependencies between tasks must not form a circle, or none of its tasks could ever start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


def find_cycle(
    edges_of: Callable[[str], Iterable[str]], start: str, target: str
) -> tuple[str, ...] | None:
    """Return a way from ``start`` to ``target`` along dependencies, or None.

    A new edge task → depends_on closes a circle exactly where such a way exists with
    ``start=depends_on`` and ``target=task``. The way holds both ends, so it is never empty;
    for an edge to itself it is ``(task,)``. ``edges_of`` gives the ids that a task depends
    on and is asked at most once for each task; circles that exist already do no harm.

    Source: docs/lifecycle.md, Dependencies.
    """
    reached_from: dict[str, str | None] = {start: None}
    waiting = [start]
    while waiting:
        task_id = waiting.pop()
        if task_id == target:
            return _way_to(task_id, reached_from)
        for neighbour in edges_of(task_id):
            if neighbour not in reached_from:
                reached_from[neighbour] = task_id
                waiting.append(neighbour)
    return None


def _way_to(task_id: str, reached_from: dict[str, str | None]) -> tuple[str, ...]:
    way: list[str] = []
    step: str | None = task_id
    while step is not None:
        way.append(step)
        step = reached_from[step]
    return tuple(reversed(way))


def find_cycles(
    edges_of: Callable[[str], Iterable[str]], starts: Iterable[str]
) -> Iterator[tuple[str, ...]]:
    """Yield circles among the tasks that can be reached from ``starts``.

    At least one for each group of tasks that wait for each other; taking an edge of each
    away and asking again finds what is left. A circle begins and ends with the same id.
    ``edges_of`` is asked once for each task.
    """
    seen: set[str] = set()
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        way = {start: None}
        waiting = [iter(edges_of(start))]
        while waiting:
            neighbour = next(waiting[-1], None)
            if neighbour is None:
                waiting.pop()
                way.popitem()
            elif neighbour in way:
                ids = list(way)
                yield (*ids[ids.index(neighbour) :], neighbour)
            elif neighbour not in seen:
                seen.add(neighbour)
                way[neighbour] = None
                waiting.append(iter(edges_of(neighbour)))


def find_circle(edges: Sequence[Sequence[int]]) -> list[int]:
    """Return the indexes along one circle, each depending on the next; empty without one.

    ``edges[i]`` are the indexes that item ``i`` depends on. Takes time in proportion to the
    number of edges, however they are arranged.

    Source: docs/lifecycle.md, Dependencies.
    """
    waiting_for = [len(targets) for targets in edges]
    dependents: list[list[int]] = [[] for _ in edges]
    for index, targets in enumerate(edges):
        for target in targets:
            dependents[target].append(index)
    free = [index for index, count in enumerate(waiting_for) if count == 0]
    while free:
        for index in dependents[free.pop()]:
            waiting_for[index] -= 1
            if waiting_for[index] == 0:
                free.append(index)
    stuck = next((index for index, count in enumerate(waiting_for) if count), None)
    if stuck is None:
        return []
    # Each that is stuck depends on one that is stuck, so this way comes back to itself.
    way: list[int] = []
    places: dict[int, int] = {}
    while stuck not in places:
        places[stuck] = len(way)
        way.append(stuck)
        stuck = next(target for target in edges[stuck] if waiting_for[target])
    return way[places[stuck] :]
