"""What was measured, in tables that fit 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table as Grid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from tests.benchmarks.measuring import Aim, Section, Table

__all__ = ["Report"]

_WIDTH = 100


class Report:
    """Print what is found.

    Args:
        file: Where to; the terminal where it is left out.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._console = Console(file=file, highlight=False)
        # A pipe has no width, and a wide terminal makes lines too long to read.
        width = self._console.width if self._console.is_terminal else _WIDTH
        self._console.width = min(width, _WIDTH)

    def say(self, text: str) -> None:
        """Say what is going on."""
        self._console.print(text, style="dim")

    def table(self, table: Table) -> None:
        """Show one group."""
        self._console.print(f"\n[bold cyan]{table.title}[/]  {table.explained}\n")
        grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1))
        grid.add_column("", ratio=1)
        for name in ("median us", "low us", "over us", "ratio", "wall us", "rows"):
            grid.add_column(name, justify="right", no_wrap=True)
        for section in table.sections:
            self._section(grid, section)
        self._console.print(grid)
        measured = [one for s in table.sections for one in s.measured.values()]
        rounds = sorted({len(one.readings) for one in measured}, reverse=True)
        self.say(f"  rounds: {', '.join(map(str, rounds))}")

    def _section(self, grid: Grid, section: Section) -> None:
        grid.add_row(f"[bold]{section.title}[/]")
        for name, one in section.measured.items():
            first = one is section.baseline
            note = f"\n    [dim]{one.note}[/]" if one.note else ""
            grid.add_row(
                f"  {name}{note}", _number(one.median), _number(one.low),
                "" if first else _number(section.over(name)),
                "1" if first else f"{section.ratio(name):.2f}",
                _number(one.wall), f"{one.rows:,}" if one.rows else "",
            )  # fmt: skip
        grid.add_section()

    def aims(self, aims: Iterable[Aim]) -> None:
        """Show what was set out to be reached, and whether it is."""
        known = list(aims)
        grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1))
        for name in ("aim", "at most", "measured", ""):
            grid.add_column(name, justify="left" if name == "aim" else "right")
        for aim in known:
            met = "[green]met[/]" if aim.met else "[yellow]not met[/]"
            limit = f"{aim.limit:g} {aim.unit}"
            mark = "" if aim.asked else " *"
            grid.add_row(aim.text, limit, f"{aim.value:.2f}", met + mark)
        if not grid.row_count:
            return
        self._console.print("\n[bold cyan]aims[/]")
        self._console.print(grid)
        if any(not aim.asked for aim in known):
            self.say("  * set for PostgreSQL 18, and where rows are read for 1,000,000")


def _number(value: float) -> str:
    places = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{places}f}"
