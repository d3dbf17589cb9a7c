"""Measure a service over HTTP: every figure that has a target, and what each request costs.

Without --url a service of its own is started for each figure, on a fresh database.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.bench import figures, machine, report
from scripts.bench.connection import Address, Connection
from scripts.bench.costs import costs
from scripts.bench.generators import choose, has_wrk
from scripts.bench.pace import between, pace
from scripts.bench.results import Result
from scripts.bench.rounds import Bench
from scripts.bench.service import ROOT, Chosen, serving
from scripts.bench.sizes import ALL
from scripts.bench.waiting import waiting

# The long backlog goes before the costs, which use it again.
FIGURES: dict[str, Callable[[Bench], Result]] = {
    "loops": figures.loops,
    "obstacles": figures.obstacles,
    "ledger": figures.ledger,
    "creates": figures.creates,
    "bulk": figures.bulk,
    "claims": figures.claims,
    "waiting": waiting,
    "workers": figures.workers,
    "backlogs": figures.backlogs,
    "costs": costs,
}
KEPT = ROOT / "docs" / "benchmarks"
PASSING = ROOT / "build" / "bench"


def main(arguments: list[str]) -> int:
    """Measure, print, write."""
    parsed = _parsed(arguments)
    names = parsed.only or list(FIGURES)
    bench = Bench(_chosen(parsed), ALL[parsed.sizes], choose(parsed.generator), parsed.order)
    document: dict[str, Any] = {"about": _about(bench, parsed.sizes), "figures": {}}
    with bench.stack:
        bench.stack.callback(bench.generator.close)
        for name in FIGURES:
            if name in names:
                document["figures"][name] = _measured(name, bench)
    is_whole = parsed.sizes == "full" and parsed.only is None and parsed.url is None
    folder = parsed.output or (KEPT if is_whole else PASSING)
    stem = (
        bench.chosen.kind if parsed.sizes == "full" else f"{bench.chosen.kind}-{parsed.sizes}"
    )
    print(report.plain_table(report.HEADER, report.cells(document)))
    if report.remark(document):
        print(report.remark(document))
    if "costs" in document["figures"]:
        print("\n" + report.plain_table(*report.cost_lines(document["figures"]["costs"])))
    whole = _with_others(document, folder / f"{stem}.json")
    for file in report.write(whole, folder, stem):
        print(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file, file=sys.stderr)
    return 0


def _measured(name: str, bench: Bench) -> dict[str, Any]:
    scratch = _scratch(bench)
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    before = pace(machine.cores(), scratch)
    begun_s = time.monotonic()
    result = FIGURES[name](bench)
    took_s = time.monotonic() - begun_s
    after = pace(machine.cores(), scratch)
    print(f"{took_s:.0f} s", file=sys.stderr)
    return {
        **result.document(),
        "took_s": round(took_s, 1),
        "date": machine.today(),
        "commit": machine.commit(),
        "pace": between(before, after),
    }


def _with_others(document: dict[str, Any], file: Path) -> dict[str, Any]:
    """Keep what the file holds of figures that were not measured this time."""
    old = json.loads(file.read_text()) if file.exists() else {}
    return report.in_order(report.merged(old, document), FIGURES)


def _about(bench: Bench, sizes: str) -> dict[str, Any]:
    chosen = bench.chosen
    with serving(chosen) as service, Connection(service.address) as connection:
        health = connection.json("GET", "/health")
    settings = {
        "workers": chosen.workers or "default",
        "threads": chosen.threads or "default",
        "durability": chosen.durability or "default",
    }
    return {
        "database": chosen.kind,
        "service": "running before" if chosen.url else "started for each figure",
        "settings": "as it runs" if chosen.url else settings,
        "generator": bench.generator.name,
        "order of requests": bench.order,
        "sizes": sizes,
        "machine": machine.machine(_scratch(bench)),
        "versions": machine.versions(health),
    }


def _scratch(bench: Bench) -> Path:
    """Return where the databases of services are."""
    return bench.chosen.scratch or Path(tempfile.gettempdir())


def _chosen(parsed: argparse.Namespace) -> Chosen:
    token = parsed.token_file.read_text().strip() if parsed.token_file else None
    if parsed.url is not None:
        # An error here is better than one after the first figure.
        Address.of(parsed.url)
    return Chosen(
        url=parsed.url,
        token=token,
        db=parsed.db,
        scratch=parsed.scratch,
        workers=parsed.workers,
        threads=parsed.threads,
        durability=parsed.durability,
    )


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the flags; what is missing is said now, not after the last figure."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.generator == "wrk" and not has_wrk():
        parser.error("wrk is not installed")
    if parsed.order == "together" and (parsed.generator == "python" or not has_wrk()):
        parser.error("--order together needs wrk")
    if parsed.db != "sqlite" and not parsed.db.startswith("postgres"):
        parser.error(f"--db is sqlite or the URL of a PostgreSQL database, not {parsed.db}")
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("Matplotlib is not installed: pip install '.[bench]', or use make bench")
    return parsed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    add = parser.add_argument
    add("--only", action="append", choices=FIGURES, metavar="FIGURE", help=", ".join(FIGURES))
    add("--sizes", choices=ALL, default="full", help="how much is measured (full)")
    add(
        "--generator",
        choices=("auto", "wrk", "python"),
        default="auto",
        help="what makes the load: wrk where it is installed, else Python (auto)",
    )
    add(
        "--order",
        choices=("causal", "together"),
        default="causal",
        help="together: send a run's event and transition side by side (wrk only)",
    )
    add("--db", default="sqlite", help="sqlite, or a URL where the user may create databases")
    add("--scratch", type=Path, help="where fresh databases go (the system's temporary folder)")
    add("--output", type=Path, help="where results go (docs/benchmarks for a whole full run)")
    add("--url", help="measure a service that runs already; it keeps the tasks")
    add("--token-file", type=Path, help="file with that service's API token")
    add("--workers", type=int)
    add("--threads", type=int)
    add("--durability", choices=("full", "normal"))
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
