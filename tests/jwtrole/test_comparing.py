"""Which types are refused is what PostgreSQL refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jwtrole.comparing import comparable

if TYPE_CHECKING:
    from tests.jwtrole.conftest import Sandbox

TYPES = (
    "bigint", "boolean", "bytea", "character varying(30)", "cidr", "date",
    "double precision", "inet", "integer", "interval", "jsonb", "numeric(5, 2)",
    "smallint", "text", "text[]", "time", "timestamp(3) with time zone", "timestamptz",
    "uuid", "uuid[]", "varchar",
)  # fmt: skip


@pytest.mark.parametrize("one", TYPES)
def test_postgresql_agrees(sandbox: Sandbox, one: str) -> None:
    """Two types count as comparable exactly where PostgreSQL has an operator."""
    for other in TYPES:
        query = f"SELECT CAST(NULL AS {one}) = CAST(NULL AS {other})"
        if comparable(one, other):
            assert sandbox.run(query) == [(None,)]
        else:
            assert sandbox.refused(query) == "42883", (one, other)


@pytest.mark.parametrize("unknown", ["mood", "mood[]", "geometry(Point, 4326)", "oid"])
def test_an_unknown_type_is_left_to_postgresql(unknown: str) -> None:
    """Nothing is refused that is not known to be wrong."""
    assert comparable(unknown, "text")
    assert comparable("uuid", unknown)
