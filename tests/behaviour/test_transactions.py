"""When an identity is put on and taken away: one specification, every adapter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from jwtrole import Identity, IdentityChanged, NoIdentity, TokenExpired
from tests.behaviour.adapter import OUTSIDE

if TYPE_CHECKING:
    from jwtrole.testing import ThrowawayIssuer
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People

SETTINGS = (
    "SELECT current_user::text, current_setting('role'), "
    "coalesce(current_setting('jwtrole.claims', true), ''), "
    "coalesce(current_setting('request.jwt.claims', true), '')"
)


def test_nothing_stays_after_commit(adapter: Adapter, people: People) -> None:
    """After COMMIT the connection is the bare login role again, claims gone."""
    adapter.sql(people.alice, "SELECT 1")

    assert [tuple(row) for row in adapter.unhooked(SETTINGS)] == [
        ("app_login", "none", "", "")
    ]


def test_nothing_stays_after_rollback(adapter: Adapter, people: People) -> None:
    """After ROLLBACK the connection is the bare login role again, claims gone."""
    adapter.sql_rolled_back(people.alice, "SELECT 1")

    assert [tuple(row) for row in adapter.unhooked(SETTINGS)] == [
        ("app_login", "none", "", "")
    ]


def test_a_rolled_back_savepoint_keeps_the_identity(
    filled: Adapter, people: People
) -> None:
    """An error inside a savepoint leaves the identity in force around it."""
    assert filled.savepoint_rolled_back(people.alice) == ["red-1", "red-2"]


def test_a_savepoint_may_come_first(filled: Adapter, people: People) -> None:
    """Rolling back a savepoint that came first does not undo the identity."""
    assert filled.savepoint_first(people.bob) == ["blue-1"]


def test_a_connection_works_again_after_an_error(
    filled: Adapter, people: People
) -> None:
    """After a failed statement and a rollback the same identity is put on again."""
    assert filled.after_error(people.alice) == ["red-1", "red-2"]


def test_a_connection_works_again_after_commit(filled: Adapter, people: People) -> None:
    """The next transaction of the same connection gets the identity again."""
    assert filled.after_commit(people.alice) == ["red-1", "red-2"]


def test_server_side_cursors_are_protected(filled: Adapter, people: People) -> None:
    """Rows that are streamed are the identity's own."""
    assert filled.stream(people.alice) == ["red-1", "red-2"]
    assert filled.stream(people.bob) == ["blue-1"]


def test_another_identity_inside_a_transaction_is_refused(
    filled: Adapter, people: People
) -> None:
    """Inside an open transaction nobody else can take over."""
    with pytest.raises(IdentityChanged) as refused:
        filled.change_inside(people.alice, people.bob)

    assert refused.value.in_force == "member"
    assert filled.numbers(people.bob) == ["blue-1"]


def test_one_pooled_connection_serves_many(filled: Adapter, people: People) -> None:
    """Identities that share a connection in turn see their own rows each time."""
    turns = [people.alice, people.bob, people.boss, people.bob, people.alice] * 3

    assert filled.alternate(turns) == [
        ["blue-1"] if who is people.bob else ["red-1", "red-2"] for who in turns
    ]


def test_concurrent_identities_do_not_mix(filled: Adapter, people: People) -> None:
    """Identities that read at the same time see their own rows each."""
    crowd = [people.alice, people.bob, people.boss] * 8

    assert filled.concurrently(crowd) == [
        ["blue-1"] if who is people.bob else ["red-1", "red-2"] for who in crowd
    ]


def test_an_expired_identity_cannot_begin(adapter: Adapter, people: People) -> None:
    """An identity that was kept past its token's time begins no transaction."""
    stale = Identity("member", people.alice.claims, issuer="x", expires=time.time() - 1)

    with pytest.raises(TokenExpired):
        adapter.numbers(stale)


def test_an_injected_session_role_does_not_last(
    filled: Adapter, people: People
) -> None:
    """A role that injected SQL left on the session is not the next identity's."""
    filled.sql(people.alice, "SET SESSION ROLE manager")

    assert [
        tuple(row) for row in filled.sql(people.bob, "SELECT current_user::text")
    ] == [("member",)]
    assert filled.numbers(people.bob) == ["blue-1"]
    filled.sql(people.bob, "RESET ROLE")
    filled.sql_rolled_back(people.bob, "SELECT 1")


def test_the_preamble_is_never_prepared(adapter: Adapter, people: People) -> None:
    """Nothing that puts an identity on outlives its transaction under a name.

    Injected SQL could put another statement in its place, and be handed the token.
    """
    for _ in range(8):
        for who in (people.alice, people.bob, None):
            adapter.sql(who, "SELECT 1")

    assert not adapter.unhooked(
        "SELECT statement FROM pg_prepared_statements"
        " WHERE starts_with(statement, 'SELECT pg_catalog.set_config')"
    )


@pytest.mark.parametrize("who", [None, OUTSIDE])
def test_without_anybody_nothing_is_sent(
    strict_adapter: Adapter, who: object | None
) -> None:
    """Without identity and anonymous role the statement is refused, again and again."""
    for _ in range(3):
        with pytest.raises(NoIdentity, match="acting_as"):
            strict_adapter.sql(who, "SELECT 1")


def test_a_refusal_leaves_the_pool_usable(
    strict_adapter: Adapter, issuer: ThrowawayIssuer, people: People
) -> None:
    """After a refusal the next identity is served on the same pool."""
    with pytest.raises(NoIdentity):
        strict_adapter.numbers(OUTSIDE)

    assert strict_adapter.numbers(people.alice) == []
