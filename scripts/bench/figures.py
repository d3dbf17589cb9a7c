"""The figures that have a target; docs/benchmarks/README.md says what each of them means."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from scripts.bench.generators import Posts
from scripts.bench.outcome import Outcome
from scripts.bench.results import Result, Row, ratio_row
from scripts.bench.rounds import Bench, Rounds, alternate
from scripts.bench.seed import BATCH, Backlog, put_in_front
from scripts.bench.service import Chosen, serving

LOOPS = "agent loops"
PER_S = "/s"
RATIO = 0.85
FEED_RATIO = 0.9
CREATORS = 16
CLAIMERS = 16
WORKERS = (1, 2, 4)
# Durability → what is to be reached.
CREATES = {"full": 2_000, "normal": 3_000}


def loops(bench: Bench) -> Result:
    """Agent loops a second on a short backlog."""
    with serving(bench.chosen) as service:
        rounds = Rounds(bench, Backlog(service.address, "loops"), bench.sizes.backlog)
        total = rounds.run(bench.sizes.loop_seconds)
    name = f"{LOOPS} (claim, event, transition), backlog {bench.sizes.backlog}"
    return Result(
        [Row(name, total.loops_per_second(), PER_S, 800), *_mistakes(LOOPS, total)],
        {"load": total.summary()},
    )


def backlogs(bench: Bench) -> Result:
    """The same on longer and longer backlogs; the longest against the usual one in turn."""
    service = bench.serving()
    backlog = Backlog(service.address, "backlogs")
    points: list[dict[str, Any]] = []
    rounds = None
    for size in bench.sizes.backlogs:
        backlog.fill(size)
        service.settle(bench.sizes.settle_seconds)
        rounds = Rounds(bench, backlog, size)
        points.append(_point(size, rounds.run(bench.sizes.backlog_seconds)))
    assert rounds is not None
    with serving(bench.chosen) as other:
        usual = Rounds(bench, Backlog(other.address, "usual"), bench.sizes.backlog)
        rounds.total = Outcome()
        alternate(rounds, usual, bench.sizes.ratio_seconds)
    bench.longest = backlog
    largest = bench.sizes.backlogs[-1]
    rates = rounds.total.loops_per_second(), usual.total.loops_per_second()
    return Result(
        [
            *(Row(_growing(p["backlog"]), p["loops_per_s"], PER_S) for p in points),
            ratio_row(f"{LOOPS}, backlog {largest} / {bench.sizes.backlog}", *rates, RATIO),
            *_mistakes("backlogs", rounds.total, usual.total),
        ],
        {
            "points": points,
            "in_turn": {
                str(largest): _point(largest, rounds.total),
                str(bench.sizes.backlog): _point(bench.sizes.backlog, usual.total),
            },
        },
    )


def obstacles(bench: Bench) -> Result:
    """The same behind tasks that cannot be claimed, against a service without them in turn."""
    size, count = bench.sizes.backlog, bench.sizes.obstacles
    with serving(bench.chosen) as service, serving(bench.chosen) as other:
        backlog = Backlog(service.address, "behind")
        put_in_front(backlog, count)
        service.settle(bench.sizes.settle_seconds)
        behind = Rounds(bench, backlog, size)
        clear = Rounds(bench, Backlog(other.address, "clear"), size)
        alternate(behind, clear, bench.sizes.ratio_seconds)
    rates = behind.total.loops_per_second(), clear.total.loops_per_second()
    what = f"{count} blocked, {count} delayed, {count} of other agents in front"
    return Result(
        [
            Row(f"{LOOPS}, {what}", rates[0], PER_S),
            ratio_row("the same / none in front", *rates, RATIO),
            *_mistakes("obstacles", behind.total, clear.total),
        ],
        {"behind": behind.total.summary(), "clear": clear.total.summary()},
    )


def ledger(bench: Bench) -> Result:
    """The same with the ledger's feed, against a service without it in turn."""
    size, name = bench.sizes.backlog, "ledger"
    with (
        serving(bench.chosen) as service,
        serving(replace(bench.chosen, ledger_feed="off")) as other,
    ):
        told = Rounds(bench, Backlog(service.address, name), size)
        untold = Rounds(bench, Backlog(other.address, name), size)
        alternate(told, untold, bench.sizes.ratio_seconds)
    rates = told.total.loops_per_second(), untold.total.loops_per_second()
    return Result(
        [
            Row(f"{LOOPS} that the ledger hears of", rates[0], PER_S),
            ratio_row("the same / without the ledger's feed", *rates, FEED_RATIO),
            *_mistakes("ledger", told.total, untold.total),
        ],
        {"told": told.total.summary(), "untold": untold.total.summary()},
    )


def creates(bench: Bench) -> Result:
    """Single creates a second, with each durability."""
    rows: list[Row] = []
    loads: dict[str, Any] = {}
    for durability in _durabilities(bench.chosen):
        with serving(bench.chosen, durability) as service:
            body = json.dumps(Backlog(service.address, "creates").task()).encode()
            load = Posts("/tasks", body, CREATORS)
            # The first second of a service is not like the others.
            bench.generator.run(service.address, load, bench.sizes.post_seconds / 4)
            total = bench.generator.run(service.address, load, bench.sizes.post_seconds)
        name = f"single creates, {CREATORS} connections, durability {durability}"
        rows.append(Row(name, total.per_second("post"), PER_S, CREATES.get(durability)))
        rows += _mistakes(f"creates, {durability}", total)
        loads[durability] = total.summary()
    return Result(rows, loads)


def _durabilities(chosen: Chosen) -> list[str]:
    if chosen.url is not None:
        return ["as it runs"]
    return [chosen.durability] if chosen.durability is not None else list(CREATES)


def bulk(bench: Bench) -> Result:
    """Tasks a second that come in bulk."""
    loads: dict[int, Outcome] = {}
    with serving(bench.chosen) as service:
        body = Backlog(service.address, "bulk").bulk()
        for connections in (1, 4):
            load = Posts("/tasks/bulk", body, connections)
            loads[connections] = bench.generator.run(
                service.address, load, bench.sizes.post_seconds
            )
    rate = {count: BATCH * load.per_second("post") for count, load in loads.items()}
    name = f"bulk tasks, {BATCH} a request"
    return Result(
        [
            Row(f"{name}, 1 connection", rate[1], PER_S, 20_000),
            Row(f"{name}, 4 connections", rate[4], PER_S),
            *_mistakes("bulk", *loads.values()),
        ],
        {str(count): load.summary() for count, load in loads.items()},
    )


def claims(bench: Bench) -> Result:
    """How long the slowest claims of many agents take on a long backlog."""
    size = bench.sizes.claim_backlog
    with serving(bench.chosen) as service:
        backlog = Backlog(service.address, "claims")
        backlog.fill(size)
        service.settle(bench.sizes.settle_seconds)
        total = Rounds(bench, backlog, size, CLAIMERS).run(bench.sizes.loop_seconds)
    name = f"p99 of a claim, {CLAIMERS} agents, {size} tasks"
    return Result(
        [
            Row(name, total.ms(99, "claim"), "ms", 40, at_most=True),
            Row("p99 of all their requests", total.ms(99), "ms"),
            *_mistakes("claims", total),
        ],
        {"load": total.summary()},
    )


def workers(bench: Bench) -> Result:
    """Claims a second, each with the rest of its loop, by more and more processes."""
    rows: list[Row] = []
    loads: dict[str, Any] = {}
    for count in _worker_counts(bench.chosen):
        with serving(replace(bench.chosen, workers=count)) as service:
            rounds = Rounds(
                bench, Backlog(service.address, "workers"), bench.sizes.backlog, CLAIMERS
            )
            total = rounds.run(bench.sizes.ratio_seconds)
        what = "as it runs" if count is None else f"worker processes: {count}"
        name = f"claims in whole loops, {CLAIMERS} agents, {what}"
        rows += [Row(name, total.per_second("claim"), PER_S), *_mistakes(what, total)]
        loads[what] = total.summary()
    return Result(rows, loads)


def _worker_counts(chosen: Chosen) -> tuple[int | None, ...]:
    if chosen.url is not None:
        return (None,)
    return WORKERS if chosen.workers is None else (chosen.workers,)


def _growing(size: int) -> str:
    # Another name than that of the first figure, which measures one of these sizes for longer.
    return f"{LOOPS} while the backlog grows, {size} tasks"


def _point(size: int, total: Outcome) -> dict[str, Any]:
    return {
        "backlog": size,
        "loops_per_s": round(total.loops_per_second(), 1),
        "claims_per_s": round(total.per_second("claim"), 1),
        "claim_p50_ms": total.ms(50, "claim"),
        "claim_p99_ms": total.ms(99, "claim"),
        "load": total.summary(),
    }


def _mistakes(name: str, *loads: Outcome) -> list[Row]:
    """Return a line for what must not happen, where it did."""
    count = sum(load.errors.total() + load.socket_errors + load.empty for load in loads)
    said = f"{name}: refused, broken or empty answers"
    return [Row(said, count, "", 0, at_most=True)] if count else []
