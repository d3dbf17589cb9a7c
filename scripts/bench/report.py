"""Results as files and on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.results import number, row_of

Document = dict[str, Any]
HEADER = ("figure", "target", "reached", "verdict", "pace, M/s")


def cells(document: Document) -> list[tuple[str, ...]]:
    """Return all lines of all figures as text."""
    return [
        (row.name, row.target_text, row.reached_text, row.verdict, _pace(figure))
        for figure in document["figures"].values()
        for row in map(row_of, figure["rows"])
    ]


def _pace(figure: Document) -> str:
    pace = figure.get("pace")
    return "–" if pace is None else f"{pace['additions_m_per_s']:.0f}"


def plain_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, ["-" * width for width in widths], *lines)
    ]
    return "\n".join(shown)


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    shown = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in shown) + "\n"


def remark(document: Document) -> str:
    """Return what has to be said under the table, nothing of a full run."""
    sizes = document["about"]["sizes"]
    if sizes == "full":
        return ""
    return f"Sizes: {sizes}. A target is one of a full run: these verdicts do not decide on it."


def cost_lines(costs: Document) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of the table of costs."""
    sizes = list(costs["rows_of_kinds"])
    header = ["request"]
    for size in sizes:
        header += [f"p50, {number(int(size))} rows", "p99"]
    lines = []
    for line in costs["requests"]:
        shown = [line["request"]]
        for size in sizes:
            shown += [_ms(line["p50_ms"][size]), _ms(line["p99_ms"][size])]
        lines.append([*shown, line["growth"]])
    return [*header, "growth"], lines


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def merged(old: Document, new: Document) -> Document:
    """Return the new document, with the old one's figures that were not measured again."""
    return {**new, "figures": {**old.get("figures", {}), **new["figures"]}}


def in_order(document: Document, names: Iterable[str]) -> Document:
    """Return the document with its figures in this order."""
    figures = document["figures"]
    return {**document, "figures": {name: figures[name] for name in names if name in figures}}


def markdown(document: Document, chart: str | None) -> str:
    """Return the whole result as a page."""
    about = document["about"]
    parts = [
        f"# Benchmark: {about['database']}\n",
        "Written by `make bench`; [README](README.md) says how to read and repeat it.\n",
        markdown_table(HEADER, cells(document)),
    ]
    if remark(document):
        parts += [remark(document) + "\n"]
    if chart is not None:
        parts += [f"![Agent loops and claims against the backlog]({chart})\n"]
    costs = document["figures"].get("costs")
    if costs is not None:
        parts += ["## Cost of every request\n"]
        parts += ["Milliseconds, one request at a time.\n", markdown_table(*cost_lines(costs))]
        sizes = costs["rows_of_kinds"]
        kinds = next(iter(sizes.values()))
        lines = [[kind, *(number(sizes[size][kind]) for size in sizes)] for kind in kinds]
        header = ["rows", *(number(int(size)) for size in sizes)]
        parts += ["Of each kind there were:\n", markdown_table(header, lines)]
    parts += ["## Measured with\n", markdown_table(("what", ""), _about_lines(document))]
    return "\n".join(parts)


def _about_lines(document: Document) -> list[list[str]]:
    lines = [[name, _shown(value)] for name, value in document["about"].items()]
    for name, figure in document["figures"].items():
        when = f"{figure['date']}, commit {figure['commit']}"
        pace = figure.get("pace")
        if pace is not None:
            when += f", {pace['additions_m_per_s']} M additions/s, sync {pace['sync_ms']} ms"
        lines.append([f"figure {name}", when])
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return str(value)


def write(document: Document, folder: Path, stem: str) -> list[Path]:
    """Write JSON, page and chart; return the files."""
    from scripts.bench.chart import draw_claims

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{stem}.json"]
    files[0].write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    chart = None
    points = document["figures"].get("backlogs", {}).get("points")
    if points:
        chart = f"{stem}-claims.svg"
        files.append(folder / chart)
        draw_claims(points, _title(document["about"]), files[-1])
    files.append(folder / f"{stem}.md")
    files[-1].write_text(markdown(document, chart))
    return files


def _title(about: Document) -> str:
    machine = about["machine"]
    return f"{about['database']}, {machine['cores']} cores, {machine['cpu']}"
