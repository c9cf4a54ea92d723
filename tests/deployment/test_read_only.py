"""READ ONLY transactions: every adapter puts identities on, and nobody writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import postgres
from tests.behaviour.opening import DATABASE, configuration, made, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People

_SETTINGS = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
}


@pytest.fixture(scope="module", params=sorted(DATABASE))
def reader(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
    people: People,
) -> Iterator[Adapter]:
    """Return one adapter after the other whose transactions only read."""
    which, anonymous = request.param, postgres.ANONYMOUS
    auth = configuration(issuer, which, anonymous)
    with made(server, worker, which, issuer, anonymous) as database:
        with opened(server, database, which, auth) as writer:
            writer.add(people.alice, "red-1")
            writer.add(people.bob, "blue-1")
        with server.connect("postgres", database) as admin:
            for name, value in _SETTINGS.items():
                admin.execute(
                    f"ALTER DATABASE {database} SET {name} = '{value}'".encode()
                )
        with opened(server, database, which, auth) as adapter:
            yield adapter


def test_everybody_reads(reader: Adapter, people: People) -> None:
    """Login, resume and nobody's own function write nothing."""
    show = ", ".join(f"current_setting('{name[8:]}')" for name in _SETTINGS)
    for _ in range(3):
        assert reader.numbers(people.alice) == ["red-1"]
        assert reader.numbers(people.bob) == ["blue-1"]
        (row,) = reader.sql(people.boss, f"SELECT {show}")
        assert tuple(row) == tuple(_SETTINGS.values())
        (row,) = reader.sql(None, "SELECT current_user::text")
        assert tuple(row) == ("anon",)


def test_nobody_writes(reader: Adapter, people: People) -> None:
    """A write is refused as in any READ ONLY transaction."""
    with pytest.raises(Exception, match="read-only transaction") as refused:
        reader.add(people.alice, "red-2")

    assert reader.sqlstate(refused.value) == "25006"
    assert reader.numbers(people.alice) == ["red-1"]


def test_no_transaction_id_is_assigned(reader: Adapter, people: People) -> None:
    """What puts an identity on costs no transaction id, and so runs on a standby."""
    query = "SELECT pg_current_xact_id_if_assigned()::text"

    assert [tuple(row) for row in reader.sql(people.alice, query)] == [(None,)]
