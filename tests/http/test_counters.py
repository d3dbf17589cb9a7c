"""Counts that worker processes share."""

from __future__ import annotations

from tickets.web.counters import ROWS_MAX, Counters


def test_a_process_that_replaces_another_goes_on_with_its_counts() -> None:
    counters = Counters(2)
    for worker in (1, 2, 3):
        counters.lend(worker)
        counters.open()
        counters.time((("seconds", "GET"), 0.02))
        counters.count(("facts", "run.event"))
        if worker == 2:
            counters.take_back(2)

    rows = list(counters.rows())

    assert [(row.table, row.key, sum(row.buckets), round(row.sum, 6)) for row in rows] == [
        (0, ("seconds", "GET"), 1, 0.02),
        (0, ("facts", "run.event"), 0, 1),
        (1, ("seconds", "GET"), 2, 0.04),
        (1, ("facts", "run.event"), 0, 2),
    ]


def test_latencies_fall_into_their_buckets_bounds_included() -> None:
    counters = Counters()
    for seconds in (0.0, 0.001, 0.0011, 60, 61):
        counters.time((("seconds",), seconds))

    (row,) = counters.rows()

    assert row.buckets == [2, 1, *[0] * 10, 1, 1]


def test_a_table_that_is_full_goes_on_counting_what_it_has() -> None:
    counters = Counters(2)
    for number in range(ROWS_MAX + 10):
        counters.count(("facts", str(number)))
    counters.count(("facts", "0"))
    counters.count(("facts", "x" * 200))

    assert sum(row.sum for row in counters.rows()) == ROWS_MAX + 1
