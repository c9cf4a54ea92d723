"""A configuration in Python and the trust of the database are made one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from jwtrole.errors import ConfigurationError
from jwtrole.sync import statements
from jwtrole.tokens import Issuer, JWTRole
from tests import postgres
from tests.database.acting import Attempt
from tests.database.fixtures import install_database_mode
from tests.jwtrole.jwks_server import serving
from tests.jwtrole.making import SECRET, private_key, public_jwk, public_pem, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

NAME = "https://issuer.test/"
OTHER = "https://other.test/"
STATE = (
    (
        "SELECT name, audience, leeway, role_claim, max_ticket, generation"
        " FROM jwtrole.issuer ORDER BY 1"
    ),
    "SELECT issuer, value, role FROM jwtrole.role_map ORDER BY 1, 2",
    "SELECT issuer, kid, alg, kid_rule, thumbprint FROM jwtrole.key ORDER BY 1, 2, 3",
    "SELECT role FROM jwtrole.anonymous",
)


@pytest.fixture(scope="module")
def told(server: postgres.Server, worker: str) -> Iterator[psycopg.Connection]:
    """Return the owner's connection to a database that nothing else is told of."""
    name = f"jwtrole_told_{worker}"
    server.create_database(name, schema=False)
    install_database_mode(server, name)
    with contextlib.closing(server.connect(postgres.OWNER, name)) as owner:
        yield owner
    server.drop_database(name)


@pytest.fixture
def login(server: postgres.Server, told: psycopg.Connection) -> Iterator[Attempt]:
    """Return the login role's connection to the same database."""
    with contextlib.closing(
        server.connect(postgres.LOGIN, told.info.dbname)
    ) as connection:
        yield Attempt(connection)


def tell(owner: psycopg.Connection, auth: JWTRole, **options: Any) -> list[Any]:
    """Run the statements of a configuration and return what the database trusts."""
    with owner.transaction():
        for statement in statements(auth, **options):
            owner.execute(statement.with_percent().encode(), statement.parameters)
    return [owner.execute(query.encode()).fetchall() for query in STATE]


def secret(name: str = NAME, **settings: Any) -> Issuer:
    """Return an issuer that shares a secret."""
    found = {"audience": "billing", "secret": SECRET, "algorithms": ["HS256"]}
    return Issuer(name, **{**found, **settings})


def published(*jwks: dict[str, Any], algorithms: list[str]) -> Issuer:
    """Return an issuer of public keys."""
    return Issuer(
        NAME, audience="billing", jwks={"keys": list(jwks)}, algorithms=algorithms
    )


def configured(*issuers: Issuer, **settings: Any) -> JWTRole:
    """Return a configuration."""
    return JWTRole(issuers, **{"roles": ["member", "manager"], **settings})


def token(algorithm: str = "HS256", **claims: Any) -> str:
    """Return a token that lasts."""
    return sign(algorithm, **{"exp": 4_000_000_000, **claims})


def test_the_database_trusts_what_the_configuration_says(
    told: psycopg.Connection, login: Attempt
) -> None:
    """Issuer, key, roles, path and anonymous role arrive, and a token logs in."""
    auth = configured(
        secret(audience=["billing", "more"], leeway=5.0),
        roles={"boss": "manager"},
        role_claim=["realm", "role"],
        anonymous="anon",
    )

    issuers, roles, keys, anonymous = tell(told, auth, max_ticket=60)

    assert [row[:5] for row in issuers] == [
        (NAME, ["billing", "more"], 5, ["realm", "role"], 60)
    ]
    assert roles == [(NAME, "boss", "manager")]
    assert [row[2:4] for row in keys] == [("HS256", "any")]
    assert anonymous == [("anon",)]
    good = token(realm={"role": ["x", "boss"]})
    assert login.log_in(good)[0] == auth.verify(good).role == "manager"


CONFIGURATIONS = {
    "a secret": lambda: configured(secret()),
    "a secret for all": lambda: configured(
        secret(algorithms=["HS256", "HS384", "HS512"])
    ),
    "two issuers": lambda: configured(secret(), secret(OTHER), anonymous="anon"),
    "one PEM": lambda: configured(
        Issuer(
            NAME,
            audience="billing",
            key=public_pem(private_key("RS256")),
            algorithms=["RS256", "PS256"],
        )
    ),
    "one JWK without id": lambda: configured(
        Issuer(NAME, audience="billing", key=public_jwk("ES256"))
    ),
    "a set": lambda: configured(
        published(
            public_jwk("RS256", kid="r"),
            public_jwk("ES256", kid="e"),
            public_jwk("EdDSA", kid="d"),
            algorithms=["RS256", "ES256", "EdDSA"],
        )
    ),
    "a set without ids": lambda: configured(
        published(public_jwk("RS256"), public_jwk("RS256", 1), algorithms=["RS256"])
    ),
    "a key twice": lambda: configured(
        published(public_jwk("ES256"), public_jwk("ES256"), algorithms=["ES256"])
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_told_twice_nothing_changes(told: psycopg.Connection, name: str) -> None:
    """Generations, hence tickets, stay where the configuration is the same."""
    auth = CONFIGURATIONS[name]()
    first = tell(told, auth)

    assert tell(told, auth) == first
    assert len(first[0]) == len(auth.issuers)
    assert first[2]


def test_what_is_no_longer_configured_is_no_longer_trusted(
    told: psycopg.Connection, login: Attempt
) -> None:
    """Issuers, keys, roles and the anonymous role that went are gone there too."""
    tell(told, configured(secret(), secret(OTHER), anonymous="anon"))
    assert login.log_in(token(iss=OTHER))[0] == "member"
    login.end()

    left = configured(secret(secret=b"n" * 64), roles=["manager"])
    issuers, roles, keys, anonymous = tell(told, left)

    assert [row[0] for row in issuers] == [NAME]
    assert roles == [(NAME, "manager", "manager")]
    assert len(keys) == 1
    assert anonymous == []
    assert login.login_refused(token(iss=OTHER)) == "JW003"
    assert login.login_refused(token()) == "JW003"
    assert login.login_refused(token(key=b"n" * 64)) == "JW005"


def test_a_rotated_key_replaces_the_old(
    told: psycopg.Connection, login: Attempt
) -> None:
    """A new key under the same id takes the old one's place."""
    for number in (0, 1):
        jwk = public_jwk("ES256", number, kid="same")
        tell(told, configured(published(jwk, algorithms=["ES256"])))
        for other in (0, 1):
            one = token("ES256", key=private_key("ES256", other), kid="same")
            if other == number:
                login.log_in(one)
                login.end()
            else:
                assert login.login_refused(one) == "JW003"


def test_published_keys_are_fetched(told: psycopg.Connection, login: Attempt) -> None:
    """The keys at a URL are those that the database is told of."""
    with serving(public_jwk("ES256", kid="here")) as server:
        remote = Issuer(
            NAME, audience="billing", jwks_uri=server.url, algorithms=["ES256"]
        )
        keys = tell(told, configured(remote))[2]
        assert server.count == 1

    assert [row[1:4] for row in keys] == [("here", "ES256", "named")]
    assert login.log_in(token("ES256", kid="here"))[0] == "member"


def test_what_the_database_cannot_do_is_said() -> None:
    """A callable and parts of a second are refused, with what to do instead."""
    with pytest.raises(ConfigurationError, match="callable"):
        statements(
            configured(
                secret(),
                role_claim=lambda claims: claims["role"],
                trust="application",
            )
        )
    with pytest.raises(ConfigurationError, match=r"0\.5 .* round"):
        statements(configured(secret(leeway=0.5)))


def test_no_statement_shows_a_secret() -> None:
    """Secrets are bound values: no text and no representation holds one."""
    found = statements(configured(secret(), anonymous="anon"))

    assert len(found) == 8
    assert "jwk" in "".join(map(repr, found))
    assert "AAECAwQ" not in "".join(map(repr, found))
    assert "AAECAwQ" in "".join(str(one.parameters) for one in found)
