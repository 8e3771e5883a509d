"""Figures, their targets, and the table that shows both."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One figure."""

    what: str
    figure: float
    unit: str
    #: What is aimed at, in the same unit; None: the figure is there to compare with.
    target: float | None = None
    #: Whether the target is the least that the figure should be, not the most.
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None: there is none."""
        if self.target is None:
            return None
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its target."""
        return self.figure / self.target if self.target else None


def markdown(rows: Sequence[Row]) -> str:
    """All figures as one table."""
    lines = [
        ("", "figure", "target", "figure ÷ target", ""),
        ("---", "---:", "---:", "---:", "---"),
        *map(_cells, rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def line(row: Row) -> str:
    """One figure, as soon as it is known."""
    return "  ".join(filter(None, _cells(row)))


def _cells(row: Row) -> tuple[str, ...]:
    figure = f"{_number(row.figure)} {row.unit}"
    if row.target is None or row.ratio is None:
        return row.what, figure, "", "", ""
    sign = "≥" if row.at_least else "≤"
    verdict = "holds" if row.holds else "**missed**"
    return row.what, figure, f"{sign} {_number(row.target)} {row.unit}", f"{row.ratio:.2f}", verdict


def _number(value: float) -> str:
    """Three digits that matter, all of those before the point."""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share (0 to 1) of all of them does not exceed. They must be sorted."""
    return values[max(0, math.ceil(share * len(values)) - 1)]
