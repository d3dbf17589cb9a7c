"""Counts that worker processes share."""

from __future__ import annotations

from tickets.web.counters import ROWS_MAX, Counters


def total(counters: Counters) -> int:
    return sum(sum(row.buckets) for row in counters.rows())


def test_a_process_that_replaces_another_goes_on_with_its_counts() -> None:
    counters = Counters(2)
    for worker in (1, 2, 3):
        counters.lend(worker)
        counters.open()
        counters.count("GET", "/tasks", "200", 0.02)
        if worker == 2:
            counters.take_back(2)

    rows = list(counters.rows())

    assert [(row.table, sum(row.buckets)) for row in rows] == [(0, 1), (1, 2)]
    assert {(row.method, row.route, row.status) for row in rows} == {("GET", "/tasks", "200")}
    assert round(sum(row.seconds for row in rows), 6) == 0.06


def test_latencies_fall_into_their_buckets_bounds_included() -> None:
    counters = Counters()
    for seconds in (0.0, 0.001, 0.0011, 60, 61):
        counters.count("GET", "/tasks", "200", seconds)

    (row,) = counters.rows()

    assert row.buckets == [2, 1, *[0] * 10, 1, 1]


def test_a_table_that_is_full_goes_on_counting_what_it_has() -> None:
    counters = Counters(2)
    for number in range(ROWS_MAX + 10):
        counters.count("GET", f"/{number}", "200", 1)
    counters.count("GET", "/0", "200", 1)
    counters.count("GET", "x" * 200, "200", 1)

    assert total(counters) == ROWS_MAX + 1
