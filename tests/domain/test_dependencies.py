from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from tickets.tracker.domain.dependencies import find_circle, find_cycle, find_cycles


def edges_of(graph: dict[str, list[str]]) -> Callable[[str], Iterable[str]]:
    return lambda task_id: graph.get(task_id, ())


def test_two_tasks_cannot_wait_for_each_other() -> None:  # D-05
    graph = {"a": ["b"]}

    assert find_cycle(edges_of(graph), "a", "b") == ("a", "b")


def test_a_circle_of_three_is_found_with_its_way() -> None:  # D-05
    graph = {"a": ["x", "b"], "b": ["c"]}

    assert find_cycle(edges_of(graph), "a", "c") == ("a", "b", "c")


def test_a_task_cannot_wait_for_itself() -> None:
    assert find_cycle(edges_of({}), "a", "a") == ("a",)


def test_two_ways_to_the_same_task_are_no_circle() -> None:
    graph = {"b": ["d"], "c": ["d"]}

    assert find_cycle(edges_of(graph), "b", "a") is None
    assert find_cycle(edges_of(graph), "c", "a") is None


def test_a_circle_that_exists_already_ends_the_walk() -> None:
    graph = {"a": ["b"], "b": ["a"]}

    assert find_cycle(edges_of(graph), "a", "c") is None


def test_a_long_chain_needs_no_deep_stack() -> None:
    last = 50_000
    chain = {str(n): [str(n + 1)] for n in range(last)}

    way = find_cycle(edges_of(chain), "0", str(last))

    assert way is not None
    assert len(way) == last + 1


def test_each_task_is_asked_once() -> None:
    layers = {f"{n}{side}": [f"{n + 1}a", f"{n + 1}b"] for n in range(40) for side in "ab"}
    asked: list[str] = []

    def spy(task_id: str) -> Iterable[str]:
        asked.append(task_id)
        return layers.get(task_id, ())

    assert find_cycle(spy, "0a", "nowhere") is None
    assert len(asked) == len(set(asked))


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=40))
def test_edges_that_close_no_circle_leave_an_order_to_work_in(
    pairs: list[tuple[int, int]],
) -> None:
    graph: dict[str, list[str]] = {}
    for task, depends_on in pairs:
        if find_cycle(edges_of(graph), str(depends_on), str(task)) is None:
            graph.setdefault(str(task), []).append(str(depends_on))

    done: set[str] = set()
    for _ in range(8):
        done |= {str(n) for n in range(8) if done.issuperset(graph.get(str(n), ()))}

    assert len(done) == 8


def test_circles_among_many_are_each_found_once() -> None:  # D-05
    graph = {"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": [], "e": ["f"], "f": ["e"]}

    assert list(find_cycles(edges_of(graph), ["a", "b", "e"])) == [
        ("b", "c", "b"),
        ("e", "f", "e"),
    ]


@given(
    st.dictionaries(
        st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefg"), unique=True)
    )
)
def test_taking_away_an_edge_of_each_circle_ends_in_none(graph: dict[str, list[str]]) -> None:
    has_circle = any(
        find_cycle(edges_of(graph), target, task_id) is not None
        for task_id, targets in graph.items()
        for target in targets
    )

    assert has_circle is bool(list(find_cycles(edges_of(graph), graph)))
    while found := list(find_cycles(edges_of(graph), graph)):
        for task_id, target, *_ in found:
            graph[task_id] = [each for each in graph[task_id] if each != target]


def test_items_without_a_circle_have_none() -> None:
    chain = [[], *([index] for index in range(20_000))]

    assert find_circle(chain) == []
    assert find_circle([[1, 2], [2], []]) == []


def test_a_circle_is_named_and_not_what_depends_on_it() -> None:
    assert find_circle([[1], [2], [3], [1], []]) == [1, 2, 3]
    assert find_circle([[0]]) == [0]
