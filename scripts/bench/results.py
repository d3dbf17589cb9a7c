"""What a figure reached, against what it is to reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

# A median below this is mostly the way to the service and back.
NOISE_MS = 0.3
# A thousand times the rows: an index grows by one or two levels, its logarithm doubles.
FLAT_RATIO = 1.3
LOGARITHMIC_RATIO = 2.5


@dataclass(frozen=True)
class Row:
    """One line of the result; a ``target`` is a floor unless it is ``at_most``."""

    name: str
    reached: float | None
    unit: str = ""
    target: float | None = None
    at_most: bool = False
    # Of a ratio: what was divided, since neither is a line of its own.
    of: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """``reached``, ``missed``, ``not measured``, or nothing where there is no target."""
        if self.target is None:
            return ""
        if self.reached is None:
            return "not measured"
        good = self.reached <= self.target if self.at_most else self.reached >= self.target
        return "reached" if good else "missed"

    @property
    def target_text(self) -> str:
        """The target with its direction."""
        if self.target is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {number(self.target)} {self.unit}".rstrip()

    @property
    def reached_text(self) -> str:
        """The figure with its unit."""
        if self.reached is None:
            return "–"
        text = f"{number(self.reached)} {self.unit}".rstrip()
        return text if self.of is None else f"{text} ({' / '.join(map(number, self.of))})"


@dataclass
class Result:
    """What one figure came to: its lines, and everything it is made of."""

    rows: list[Row]
    details: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        return {"rows": rows, **self.details}


def row_of(document: dict[str, Any]) -> Row:
    """Return a line that was written as JSON."""
    columns = {name: value for name, value in document.items() if name != "verdict"}
    of = columns.get("of")
    return Row(**{**columns, "of": None if of is None else tuple(of)})


def number(value: float) -> str:
    """Return a number with as many digits as mean something, thousands apart."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def growth(small_ms: float | None, large_ms: float | None) -> str:
    """Return how a median grew while the rows became many more."""
    if small_ms is None or large_ms is None:
        return "not measured"
    if large_ms - small_ms <= NOISE_MS or large_ms <= small_ms * FLAT_RATIO:
        return "flat"
    return "logarithmic" if large_ms <= small_ms * LOGARITHMIC_RATIO else "growing"


def ratio_row(name: str, part: float | None, whole: float | None, target: float) -> Row:
    """Return a line that says part / whole, nothing where there is no such thing."""
    if part is None or not whole:
        return Row(name, None, "", target)
    return Row(name, part / whole, "", target, of=(part, whole))
