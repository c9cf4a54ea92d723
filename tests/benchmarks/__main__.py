"""Measure what verification and row security cost: ``python -m tests.benchmarks``.

Everything is compared within one run; what a number is worth on its own depends on the
machine. The exit status is 0 whether the aims are met or not.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from tests import postgres
from tests.benchmarks import worlds
from tests.benchmarks.begin import begin
from tests.benchmarks.claims import claims
from tests.benchmarks.report import Report
from tests.benchmarks.rows import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.measuring import Table
    from tests.benchmarks.worlds import World
    from tests.postgres import Server

    Group = Callable[[World, int, float], Table]

__all__ = ["GROUPS", "main", "measure"]

GROUPS: dict[str, Group] = {"begin": begin, "claim": claims, "rows": rows}

#: After these seconds a group begins no further round.
_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a server, measure, show, and leave nothing behind."""
    asked = _parser().parse_args(arguments)
    groups = asked.groups or list(GROUPS)
    server = postgres.start(asked.postgres)
    try:
        measure(server, Report(), groups, asked.rows, asked.rounds)
    finally:
        server.stop()
    return 0


def measure(
    server: Server, report: Report, groups: Sequence[str], rows: int, rounds: int
) -> list[Table]:
    """Measure groups on a server and show each as soon as it is done.

    Args:
        server: Where.
        report: What shows it.
        groups: Which of them.
        rows: How many rows the table of tenants has.
        rounds: How often everything is measured.
    """
    rows = max(rows // worlds.ROWS_OF_A_TENANT, 1) * worlds.ROWS_OF_A_TENANT
    report.say(f"filling three databases with {rows:,} rows each")
    found = []
    with worlds.made(server, f"jwtrole_bench_{os.getpid()}", rows) as world:
        report.say(f"PostgreSQL {world.version}, Python {sys.version.split()[0]}")
        for name in groups:
            report.say(f"measuring {name}")
            table = GROUPS[name](world, max(rounds, 1), _SECONDS)
            report.table(table)
            found.append(table)
    report.aims(aim for table in found for aim in table.aims)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "groups",
        nargs="*",
        choices=[*GROUPS, []],
        metavar="group",
        help=f"what to measure: {', '.join(GROUPS)}; default all",
    )
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of the table; default 1000000"
    )
    parser.add_argument(
        "--rounds", type=int, default=120, help="how often; default 120, fewer of scans"
    )
    parser.add_argument(
        "--postgres", help="a directory with PostgreSQL's programs, initdb among them"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
