"""What row security costs on a table of many tenants, against a WHERE by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks import queries
from tests.benchmarks.identities import TENANT
from tests.benchmarks.measuring import Aim, Section, Table, interleave
from tests.benchmarks.pipeline import BEGIN, ROLLBACK, Message, Repeated
from tests.benchmarks.queries import Fetch, Insert
from tests.benchmarks.worlds import ROWS_OF_A_TENANT

if TYPE_CHECKING:
    import psycopg

    from tests.benchmarks.measuring import Measured, Subject
    from tests.benchmarks.pipeline import Line
    from tests.benchmarks.queries import Read
    from tests.benchmarks.worlds import World

__all__ = ["rows"]

_EXPLAINED = (
    "{rows:,} rows, {tenants:,} tenants side by side, three copies of them. By hand: a "
    "superuser, whom row security passes by, and WHERE tenant_id = $1. The modes: the "
    "same query without it, under the policy of TenantMixin, in an open transaction of "
    "one tenant. Time is that of the backend's processor; of a parallel scan and of "
    "psycopg it is that of the wall."
)
_BY_HAND, _APPLICATION, _DATABASE = "WHERE by hand", "application mode", "database mode"
_FETCHED = f"{queries.READ}, by psycopg"
_BY_DEFAULT = ", tenant by default"

_NODES = re.compile(
    r"Gather|InitPlan"
    r"|(?:Parallel )?(?:Seq|Index Only|(?<!Bitmap )Index|Bitmap Heap) Scan"
)

#: Of what takes so long fewer rounds do.
_FEWER = 6


@dataclass
class _Mode:
    name: str
    line: Line
    connection: psycopg.Connection
    opening: list[Message]

    def query(self, read: Read) -> tuple[str, tuple[str, ...]]:
        """Return a query's text and what is bound."""
        if self.name == _BY_HAND:
            return read.query + read.by_hand, (str(TENANT),)
        return read.query, ()

    def plan(self, read: Read) -> str:
        """Return what the plan of a query is made of."""
        text, bound = self.query(read)
        explain = Message(f"EXPLAIN (COSTS OFF) {text}", bound)
        flight = [BEGIN, *self.opening, *read.told, explain, ROLLBACK]
        [answers] = self.line.fly([flight])
        shown = answers[-2]
        lines = [shown.get_value(n, 0) or b"" for n in range(shown.ntuples)]
        nodes = _NODES.findall(b"\n".join(lines).decode())
        return ", ".join(dict.fromkeys(nodes))

    def reading(self, read: Read) -> Repeated:
        """Return what measures a query."""
        text, bound = self.query(read)
        query = Message(text, bound)
        if read.prepared:
            self.line.prepare(read.title, text)
            query = Message(read.title, bound, prepared=True)
        return Repeated(
            _named(read.title, self.name), self.line, [*self.opening, *read.told],
            query, rows=read.rows, counted=read.counted, batch=read.batch,
            by_wall=read.title == queries.PARALLEL, note=self.plan(read),
        )  # fmt: skip

    def fetching(self, read: Read) -> Fetch:
        """Return what measures a query through psycopg."""
        name = _named(_FETCHED, self.name)
        query = Message(*self.query(read))
        return Fetch(name, self.connection, self.opening, query, read.rows)


def _named(title: str, mode: str) -> str:
    return f"{title}: {mode}"


def rows(world: World, rounds: int, seconds: float) -> Table:
    """Measure reads and inserts of one tenant among many."""
    modes = _modes(world)
    known = queries.reads(world.rows)
    quick: list[Subject] = [
        *(mode.reading(read) for read in known if not read.scans for mode in modes),
        *(mode.fetching(read) for read in known if read.fetched for mode in modes),
    ]
    slow = [mode.reading(read) for read in known if read.scans for mode in modes]
    fewer = max(1, rounds // _FEWER)
    found = {
        **interleave(quick, rounds, seconds / 3),
        **interleave(slow, fewer, seconds / 3),
        # Last of all: what is rolled back makes the table longer.
        **interleave(_inserts(modes), fewer, seconds / 3),
    }
    titles = [*(read.title for read in known), queries.INSERT]
    titles.insert(titles.index(queries.READ) + 1, _FETCHED)
    sections = [_section(title, found) for title in titles]
    tenants = world.rows // ROWS_OF_A_TENANT
    explained = _EXPLAINED.format(rows=world.rows, tenants=tenants)
    return Table("rows", explained, sections, _aims(sections, world))


def _modes(world: World) -> list[_Mode]:
    by_hand = world.line(world.open, None), world.connection(world.open, None)
    pushed = world.line(world.application), world.connection(world.application)
    sealed = world.line(world.sealed), world.connection(world.sealed)
    return [
        _Mode(_BY_HAND, *by_hand, []),
        _Mode(_APPLICATION, *pushed, world.pushed()),
        _Mode(_DATABASE, *sealed, world.resumed(sealed[0])),
    ]


def _inserts(modes: list[_Mode]) -> list[Subject]:
    given = [Insert(_named(queries.INSERT, m.name), m.line, m.opening) for m in modes]
    defaulted = [
        Insert(
            _named(queries.INSERT, m.name + _BY_DEFAULT), m.line, m.opening,
            by_default=True,
        )
        for m in modes
        if m.name != _BY_HAND
    ]  # fmt: skip
    # Two write to one table, and neither meets what the other wrote.
    for number, one in enumerate([*given, *defaulted]):
        one.keys = iter(range(10**9 * (number + 1), 10**9 * (number + 2), 1000))
    return [*given, *defaulted]


def _section(title: str, found: dict[str, Measured]) -> Section:
    start = f"{title}: "
    return Section(
        title,
        {
            name.removeprefix(start): one
            for name, one in found.items()
            if name.startswith(start)
        },
    )


def _aims(sections: list[Section], world: World) -> list[Aim]:
    by_title = {section.title: section for section in sections}
    newest, many = world.version >= 18, world.rows >= 10**6
    reads, scan = (queries.COUNT, queries.READ, _FETCHED), queries.SCAN
    limits = {**dict.fromkeys(reads, 1.05), scan: 1.5}
    found = [
        Aim(
            f"{title}: database mode", by_title[title].ratio(_DATABASE), limit,
            "x by hand", asked=newest and many,
        )
        for title, limit in limits.items()
    ]  # fmt: skip
    notes = [one.note for one in by_title[queries.PARALLEL].measured.values()]
    lost = float(sum("Gather" not in note for note in notes))
    return [*found, Aim("parallel plans lost", lost, 0, "of 3")]
