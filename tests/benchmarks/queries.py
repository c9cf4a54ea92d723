"""The reads and writes that are compared under row security and without it."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.benchmarks.identities import TENANT
from tests.benchmarks.measuring import Reading
from tests.benchmarks.pipeline import BEGIN, ROLLBACK, Message, rows_of
from tests.benchmarks.worlds import ROWS_OF_A_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from tests.benchmarks.pipeline import Line

__all__ = [
    "COUNT",
    "INSERT",
    "PARALLEL",
    "READ",
    "SCAN",
    "Fetch",
    "Insert",
    "Read",
    "reads",
]

COUNT, READ = "index-only count of one tenant", "read of one tenant's rows"
SCAN, PARALLEL = "sequential scan of all", "parallel scan of all"
INSERT = "insert of 1,000 rows"

_OFF = {
    "enable_bitmapscan": "off",
    "enable_indexonlyscan": "off",
    "enable_indexscan": "off",
}
_ALONE = {**_OFF, "max_parallel_workers_per_gather": "0"}
# Whether a policy forbids a parallel plan is asked, not whether one would be cheap.
_TOGETHER = {
    **_OFF,
    "max_parallel_workers_per_gather": "2",
    "min_parallel_table_scan_size": "0",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
}


@dataclass(frozen=True)
class Read:
    """Be one way to read.

    Args:
        title: What it is called.
        query: The query as it stands under a policy.
        by_hand: What follows it where there is none; ``$1`` is the tenant.
        rows: How many rows it finds, or the number it answers.
        counted: Whether it answers with that number.
        settings: What the planner is told.
        prepared: Whether it is prepared, as drivers do with what comes often.
        fetched: Whether it is measured through psycopg as well.
        batch: How often one reading runs it.
    """

    title: str
    query: str
    by_hand: str
    rows: int
    counted: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    prepared: bool = True
    fetched: bool = False
    batch: int = 10

    @property
    def scans(self) -> bool:
        """Say whether it reads the whole table."""
        return bool(self.settings)

    @property
    def told(self) -> list[Message]:
        """Return the statements that tell the planner."""
        # With a WHERE by hand it might plan anew for each tenant, with a policy never.
        settings = {"plan_cache_mode": "force_generic_plan", **self.settings}
        return [Message(f"SET LOCAL {k} = {v}") for k, v in settings.items()]


def reads(rows: int) -> list[Read]:
    """Return the reads of a table with these many rows."""
    where, also = " WHERE tenant_id = $1::uuid", " AND tenant_id = $1::uuid"
    count, many = "SELECT count(*) FROM invoice", ROWS_OF_A_TENANT
    # The first row of the tenant: see how the table is filled.
    key = f"SELECT amount FROM invoice WHERE id = {rows // many}"
    return [
        Read(COUNT, count, where, many, counted=True),
        Read(READ, "SELECT id, amount FROM invoice", where, many, fetched=True),
        Read("primary key", key, also, 1),
        Read("primary key, not prepared", key, also, 1, prepared=False),
        Read(
            SCAN, count, where, many, counted=True,
            settings=_ALONE, prepared=False, batch=1,
        ),
        Read(
            PARALLEL, count, where, many, counted=True,
            settings=_TOGETHER, prepared=False, batch=1,
        ),
    ]  # fmt: skip


@dataclass
class Fetch:
    """Measure a read as an application has it: by psycopg, into Python's objects.

    Args:
        name: What it is called.
        connection: Where it runs.
        opening: What puts the identity on, untimed.
        query: What is read, prepared as psycopg does with what comes often.
        rows: How many rows it finds.
    """

    name: str
    connection: psycopg.Connection
    opening: list[Message]
    query: Message
    rows: int
    batch: int = 5
    note: str = ""

    def measure(self) -> Reading:
        """Fetch a batch, one after the other, by the clock on the wall."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for message in self.opening:
                cursor.execute(message.sql.encode(), message.parameters, prepare=False)
            text, bound = self.query.sql.encode(), self.query.parameters
            began = time.perf_counter_ns()
            found = {
                len(cursor.execute(text, bound, prepare=True).fetchall())
                for _ in range(self.batch)
            }
            wall = (time.perf_counter_ns() - began) / 1000 / self.batch
        return Reading(wall, wall, found.pop() if len(found) == 1 else -1)


_GIVEN = (
    "INSERT INTO invoice (id, tenant_id, amount)"
    " SELECT n, $1::uuid, 1 FROM generate_series($2::bigint, $2::bigint + 999) AS n"
)
_BY_DEFAULT = (
    "INSERT INTO invoice (id, amount)"
    " SELECT n, 1 FROM generate_series($1::bigint, $1::bigint + 999) AS n"
)


@dataclass
class Insert:
    """Measure an INSERT of a thousand rows, each time with new keys, taken back.

    Args:
        name: What it is called.
        line: Where it runs.
        opening: What puts the identity on, untimed.
        by_default: Whether the column's default gives the tenant.
    """

    name: str
    line: Line
    opening: list[Message]
    by_default: bool = False
    rows: int = 1000
    note: str = ""
    # What is rolled back stays in the index for a while: no key comes twice.
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(10**9, 1000))

    def measure(self) -> Reading:
        """Insert, and roll back."""
        first = str(next(self.keys))
        query = (
            Message(_BY_DEFAULT, (first,))
            if self.by_default
            else Message(_GIVEN, (str(TENANT), first))
        )
        self.line.fly([[BEGIN, *self.opening]])
        spent, wall, [[answer]] = self.line.timed([[query]])
        self.line.fly([[ROLLBACK]])
        return Reading(spent, wall, rows_of(answer, counted=False))
