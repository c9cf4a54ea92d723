"""The schema of the database mode, installed by an owner who is no superuser."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from jwtrole.install import Release
from tests import postgres
from tests.database import fixtures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

attempt = fixtures.attempt
issuer = fixtures.issuer
neighbour = fixtures.neighbour
owner = fixtures.owner
sealed_database = fixtures.sealed_database
superuser = fixtures.superuser

#: What verifies tokens, without what makes identities of them.
VERIFIER = Release(2, "database", ("claims_1", "verify_1"))

# One statement verifies many tokens: what is refused raises, and is caught here. An
# error other than the verifier's own ends the test.
_ATTEMPT = """
CREATE FUNCTION public.attempt(token text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN (jwtrole._verified(token)).claims;
EXCEPTION WHEN SQLSTATE 'JW003' THEN
    RETURN NULL;
END $$
"""


def install(server: postgres.Server, name: str, release: Release) -> None:
    """Make a database and apply a release to it as its owner, in one transaction."""
    server.create_database(name, schema=False)
    with server.connect(postgres.OWNER, name) as connection, connection.transaction():
        for statement in release.up():
            connection.execute(statement.encode())


class Verifier:
    """Be the verification inside a database, for the tests.

    Args:
        connection: An autocommit connection of the owner.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def trust(self, name: str) -> None:
        """Have an issuer without keys, whatever was known of it before."""
        self.connection.execute("DELETE FROM jwtrole.issuer WHERE name = %s", (name,))
        self.connection.execute(
            "INSERT INTO jwtrole.issuer VALUES (%s, '{billing}', 30, '{role}', 300)",
            (name,),
        )

    def add_key(self, name: str, jwk: Mapping[str, Any]) -> str:
        """Add a key and return its kid."""
        row = self.connection.execute(
            "SELECT jwtrole.add_key(%s, %s)", (name, json.dumps(jwk))
        ).fetchone()
        assert row is not None
        return str(row[0])

    def verified(self, tokens: Sequence[str]) -> list[dict[str, Any] | None]:
        """Return each token's claims, or ``None`` where it is refused."""
        rows = self.connection.execute(
            "SELECT attempt(t) FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, o)"
            " ORDER BY o",
            (list(tokens),),
        )
        return [claims for (claims,) in rows]

    def signed_by(self, name: str, pairs: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """Say of each message and signature whether the issuer's one key made it."""
        rows = self.connection.execute(
            "SELECT jwtrole._signed_by(k, m, s) FROM jwtrole.key AS k,"
            " unnest(%s::bytea[], %s::bytea[]) WITH ORDINALITY AS u (m, s, o)"
            " WHERE k.issuer = %s ORDER BY o",
            ([m for m, _ in pairs], [s for _, s in pairs], name),
        )
        return [answer for (answer,) in rows]


@pytest.fixture(scope="session")
def verifying(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database of this worker that can verify and nothing else."""
    name = f"jwtrole_verifying_{worker}"
    install(server, name, VERIFIER)
    with server.connect(postgres.OWNER, name) as connection:
        connection.execute(_ATTEMPT)
    yield name
    server.drop_database(name)


@pytest.fixture
def verifier(server: postgres.Server, verifying: str) -> Iterator[Verifier]:
    """Return the verification inside a real database, as the owner may use it."""
    with contextlib.closing(server.connect(postgres.OWNER, verifying)) as connection:
        yield Verifier(connection)
