"""The picture of the claims: what a longer backlog costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEADROOM = 1.15


def draw_claims(points: list[dict[str, Any]], about: str, file: Path) -> None:
    """Write the rate of loops and the time of claims against the backlog, as SVG."""
    # Only who draws needs it, and it takes a while to import.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sizes = [point["backlog"] for point in points]
    rates = [point["loops_per_s"] for point in points]
    # A load in which every claim was refused has no times.
    times = [point["claim_p99_ms"] or 0.0 for point in points]
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tickets"}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        rate = figure.add_subplot()
        rate.set(xscale="log", xlabel="tasks that wait", ylabel="agent loops a second")
        rate.plot(sizes, rates, "o-", color="C0", label="loops/s")
        rate.set_ylim(0, HEADROOM * max(*rates, 1))
        rate.grid(visible=True, alpha=0.3)
        time = rate.twinx()
        time.set_ylabel("p99 of a claim, ms")
        time.plot(sizes, times, "s--", color="C1", label="p99")
        time.set_ylim(0, HEADROOM * max(*times, 1))
        lines = [*rate.get_lines(), *time.get_lines()]
        rate.legend(handles=lines, loc="lower left")
        rate.set_title(about, fontsize=9)
        figure.savefig(file, format="svg", metadata={"Date": None})
