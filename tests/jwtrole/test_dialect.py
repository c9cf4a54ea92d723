"""How policies are written for PostgreSQL, and for an engine with other habits."""

from __future__ import annotations

import pytest

from jwtrole import policy
from jwtrole.dialect import POSTGRESQL, Dialect
from jwtrole.errors import ConfigurationError

BARE = Dialect(name="Sharded", sub_selects=False, restrictive=False)


def test_postgresql_is_what_is_written_by_default() -> None:
    """What the core writes without being told is PostgreSQL's."""
    assert POSTGRESQL.claim("n", "int") == policy.claim_expression("n", "int")
    assert POSTGRESQL.sealed("x") == policy.sealed_clause("x")
    assert policy.clause("x", permissive=True, strict=False) == policy.sealed_clause(
        "x"
    )
    POSTGRESQL.require_mode("Policy 'p'", permissive=False)


def test_an_engine_may_refuse_sub_selects() -> None:
    """Claims and seal are bare calls where a policy may hold no sub-select."""
    assert BARE.claim("n", "int") == "jwtrole.claim('n')::int"
    assert BARE.claim("n") == "jwtrole.claim('n')"
    assert (
        policy.clause("a OR b", permissive=True, strict=False, dialect=BARE)
        == "jwtrole.sealed() AND (a OR b)"
    )


def test_an_engine_may_lose_restrictive() -> None:
    """A policy that would open what it is meant to close is refused by name."""
    with pytest.raises(ConfigurationError, match="Policy 'p': Sharded keeps no RESTR"):
        BARE.require_mode("Policy 'p'", permissive=False)
    BARE.require_mode("Policy 'p'", permissive=True)


@pytest.mark.parametrize(
    ("permissive", "strict", "sealed"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_what_may_open_rows_is_sealed(
    permissive: bool, strict: bool, sealed: bool
) -> None:
    """A permissive clause without a strict comparison asks for an identity."""
    text = policy.clause("a", permissive=permissive, strict=strict)

    assert text == (policy.sealed_clause("a") if sealed else "a")
