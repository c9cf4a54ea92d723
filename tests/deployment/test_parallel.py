"""Large tables: policies on sealed claims leave the work to parallel workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.behaviour.opening import DATABASE, configuration, made, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests import postgres
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People

# A third of the rows is red, a third blue and a third somebody else's.
THIRD = 10_000
_FILL = """
INSERT INTO invoice (id, number, tenant_id)
SELECT gen_random_uuid(), n::text,
    CASE n % 3 WHEN 0 THEN $1::uuid WHEN 1 THEN $2::uuid ELSE other END
FROM generate_series(1, 3 * $3::int) AS n, gen_random_uuid() AS other
"""
_CHEAP = (
    "parallel_setup_cost = 0",
    "parallel_tuple_cost = 0",
    "min_parallel_table_scan_size = 0",
    "min_parallel_index_scan_size = 0",
    "max_parallel_workers_per_gather = 2",
    "jit = off",
)
_FOUND = "SELECT count(*), min(tenant_id::text), max(tenant_id::text) FROM invoice"


@pytest.fixture(scope="module", params=sorted(DATABASE))
def large(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
    people: People,
) -> Iterator[Adapter]:
    """Return one adapter after the other on a table that is worth several workers."""
    which = request.param
    auth = configuration(issuer, which, None)
    with made(server, worker, which, issuer, None) as database:
        tenants = [who.claims["tenant_id"] for who in (people.alice, people.bob)]
        with server.connect("postgres", database) as admin:
            psycopg.RawCursor(admin).execute(_FILL, (*tenants, THIRD))
            admin.execute("ANALYZE invoice")
            for setting in _CHEAP:
                admin.execute(f"ALTER DATABASE {database} SET {setting}".encode())
        with opened(server, database, which, auth) as adapter:
            yield adapter


def test_workers_read_an_identitys_own_rows(large: Adapter, people: People) -> None:
    """A plan with workers that were launched finds each tenant's rows and no other."""
    for who in (people.alice, people.bob, people.boss):
        rows = large.sql(who, f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {_FOUND}")
        plan = "\n".join(line for (line,) in rows)
        assert re.search(r"Gather.*\n.*Workers Planned: [12]", plan), plan
        assert re.search(r"Workers Launched: [12]", plan), plan
        # The claim is read once, by the leader.
        assert re.search(r"InitPlan.*\n.*Result.*loops=1", plan), plan

        tenant = who.claims["tenant_id"]
        assert [tuple(row) for row in large.sql(who, _FOUND)] == [
            (THIRD, tenant, tenant)
        ]


def test_workers_read_nothing_for_whom_no_claim_matches(
    large: Adapter, people: People, issuer: ThrowawayIssuer
) -> None:
    """A token without the claim finds no row, whoever looks."""
    claims = {"sub": "x", "role": "member"}
    nobodys = issuer.identity(large.auth, **claims)

    assert [tuple(row) for row in large.sql(nobodys, _FOUND)] == [(0, None, None)]
