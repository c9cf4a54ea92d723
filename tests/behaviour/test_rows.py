"""Which rows an identity sees and may touch: one specification, every adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.behaviour.adapter import OUTSIDE

if TYPE_CHECKING:
    from uuid import UUID

    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People

WHO = (
    "SELECT current_user::text, session_user::text, jwtrole.subject(), "
    "current_setting('request.jwt.claims')::json ->> 'sub'"
)


def test_each_tenant_reads_its_own_rows(filled: Adapter, people: People) -> None:
    """A token reads the rows of its tenant and no other row."""
    assert filled.numbers(people.alice) == ["red-1", "red-2"]
    assert filled.numbers(people.bob) == ["blue-1"]
    assert filled.numbers(people.boss) == ["red-1", "red-2"]


def test_raw_sql_reads_the_same_rows(filled: Adapter, people: People) -> None:
    """SQL without any filter reads no other rows than the ORM does."""
    rows = filled.sql(people.bob, "SELECT number FROM invoice")

    assert [tuple(row) for row in rows] == [("blue-1",)]


def test_statements_run_as_the_role_of_the_token(
    adapter: Adapter, people: People
) -> None:
    """The transaction runs as the mapped role, with its claims, on the login."""
    assert [tuple(row) for row in adapter.sql(people.alice, WHO)] == [
        ("member", "app_login", "alice", "alice")
    ]
    assert [tuple(row) for row in adapter.sql(people.boss, WHO)] == [
        ("manager", "app_login", "boss", "boss")
    ]


def test_the_tenant_comes_from_the_claim(
    filled: Adapter, people: People, red: UUID
) -> None:
    """A row written without a tenant gets that of the token."""
    rows = filled.sql(people.alice, "SELECT DISTINCT tenant_id::text FROM invoice")

    assert [(str(red),)] == [tuple(row) for row in rows]


def test_a_foreign_tenant_cannot_be_written(
    filled: Adapter, people: People, blue: UUID
) -> None:
    """Inserting a row of another tenant is refused and writes nothing."""
    with pytest.raises(Exception, match="row-level security") as refused:
        filled.add(people.alice, "smuggled", blue)

    assert filled.sqlstate(refused.value) == "42501"
    assert filled.numbers(people.bob) == ["blue-1"]


def test_a_row_cannot_be_moved_to_another_tenant(
    filled: Adapter, people: People, blue: UUID
) -> None:
    """Updating a row's tenant to another is refused and changes nothing."""
    with pytest.raises(Exception, match="row-level security"):
        filled.sql(people.alice, f"UPDATE invoice SET tenant_id = '{blue}'")

    assert filled.numbers(people.alice) == ["red-1", "red-2"]
    assert filled.numbers(people.bob) == ["blue-1"]


def test_a_foreign_row_cannot_be_changed_or_removed(
    filled: Adapter, people: People
) -> None:
    """UPDATE and DELETE match own rows alone."""
    assert filled.rename(people.bob, "red-1", "stolen") == 0
    assert filled.remove(people.bob, "red-1") == 0
    assert filled.rename(people.alice, "red-1", "red-9") == 1
    assert filled.numbers(people.alice) == ["red-2", "red-9"]


def test_a_token_without_the_claim_sees_nothing(
    filled: Adapter, people: People, issuer: object
) -> None:
    """A claim that the token lacks matches no row and writes none."""
    nobodys = issuer.identity(filled.auth, sub="x", role="member")  # type: ignore[attr-defined]

    assert filled.numbers(nobodys) == []
    with pytest.raises(Exception, match=r"tenant_id|row-level security"):
        filled.add(nobodys, "homeless")


@pytest.mark.parametrize("who", [None, OUTSIDE])
def test_without_a_token_the_anonymous_role_acts(
    filled: Adapter, who: object | None
) -> None:
    """Nobody's statement runs as the anonymous role, which the table is closed to."""
    assert [tuple(row) for row in filled.sql(who, "SELECT current_user::text")] == [
        ("anon",)
    ]
    with pytest.raises(Exception, match="permission denied") as refused:
        filled.numbers(who)

    assert filled.sqlstate(refused.value) == "42501"


def test_past_the_hooks_the_login_may_do_nothing(filled: Adapter) -> None:
    """A connection that no hook has seen is the bare login role: no table is open."""
    with pytest.raises(Exception, match="permission denied") as refused:
        filled.unhooked("SELECT number FROM invoice")

    assert filled.sqlstate(refused.value) == "42501"


def test_truncate_is_not_granted(filled: Adapter, people: People) -> None:
    """TRUNCATE, which no policy holds back, is refused."""
    with pytest.raises(Exception, match="permission denied"):
        filled.sql(people.alice, "TRUNCATE invoice")
