"""``manage.py jwtrole`` tells the database whom to trust, as the owner."""

from __future__ import annotations

import base64
import contextlib
import io
import time
import uuid
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from tests import postgres, trusting
from tests.database.acting import Attempt
from tests.django_project.process import Project
from tests.django_project.settings import JWTROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

ISSUER: str = JWTROLE["ISSUERS"][0]["issuer"]
KEY: str = JWTROLE["ISSUERS"][0]["secret"]
SECRET = "a-value-that-nobody-may-read"


@pytest.fixture(scope="module")
def sealed(server: postgres.Server) -> Iterator[Project]:
    """Return the project on a database that verifies its tokens."""
    name = f"told_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    project = Project(server, name, "database")
    project.manage("migrate", "django_jwtrole", "--verbosity", "0")
    project.manage("jwtrole", "issuers", "sync", "--verbosity", "0")
    yield project
    server.drop_database(name)


@pytest.fixture
def attempt(sealed: Project) -> Iterator[Attempt]:
    """Return the application's connection."""
    with contextlib.closing(
        sealed.server.connect(postgres.LOGIN, sealed.database)
    ) as found:
        yield Attempt(found)


@pytest.fixture
def owner(sealed: Project) -> Iterator[psycopg.Connection]:
    """Return a connection of the owner."""
    with contextlib.closing(
        sealed.server.connect(postgres.OWNER, sealed.database)
    ) as found:
        yield found


def mint(**claims: Any) -> str:
    """Return a token of the project's issuer."""
    now = int(time.time())
    given = {"iss": ISSUER, "aud": "billing", "exp": now + 600, "role": "member"}
    return jwt.encode({**given, **claims}, KEY, algorithm="HS256")


def read_while_waiting(
    sealed: Project, owner: psycopg.Connection, lock: str, *words: str
) -> str:
    """Run a command that meets a lock and return what another session reads of it."""
    with contextlib.closing(
        sealed.server.connect(postgres.OWNER, sealed.database)
    ) as other:
        with owner.transaction():
            owner.execute(f"LOCK TABLE jwtrole.{lock}".encode())
            process = sealed.start("jwtrole", *words)
            read = trusting.waiting(other)
        with process:
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return read


def test_rotating_the_seal_ends_every_ticket(sealed: Project, attempt: Attempt) -> None:
    """Tickets end, tokens log in again, and the command says so."""
    token = mint()
    ticket = attempt.ticket(token)

    said = sealed.manage("jwtrole", "keys", "rotate-seal")

    assert said.startswith("owner: The seal has a new secret: every ticket has ended")
    assert attempt.resume_refused(ticket) == "JW001"
    assert attempt.ticket(token)


def test_a_token_is_denied_and_allowed_again(sealed: Project, attempt: Attempt) -> None:
    """What is denied is refused, until its time is over or it is allowed."""
    denied, other = mint(jti=SECRET), mint(sub="bob", jti="other")
    named = (ISSUER, "--jti", SECRET, "--database", "owner")

    said = sealed.manage("jwtrole", "deny", *named, "--until", "2999-01-01T00:00:00Z")
    said += sealed.manage("jwtrole", "deny", ISSUER, "--sub", "bob")

    assert attempt.login_refused(denied) == "JW003"
    assert attempt.login_refused(other) == "JW003"

    said += sealed.manage("jwtrole", "allow", *named)
    said += sealed.manage("jwtrole", "allow", ISSUER, "--sub=bob", "--verbosity=0")

    assert attempt.ticket(denied)
    assert attempt.ticket(other)
    assert SECRET not in said
    assert said.count("owner: ") == 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("keys", "rotate"), "makes no sense"),
        (("keys", "sync"), "makes no sense"),
        (("issuers", "rotate-seal"), "makes no sense"),
        (("issuers", "sync", "--jti", SECRET), "makes no sense"),
        (("keys", "rotate-seal", "--until", "2999-01-01T00:00:00Z"), "makes no sense"),
        (("allow", "i", "--sub", SECRET, "--until", "x"), "makes no sense"),
        (("deny", "i"), "either a jti or a sub"),
        (("deny", "i", "--sub", ""), "The sub is empty"),
        (("deny", "i", "--sub", SECRET, "--until", "soon"), "not a date and time"),
    ],
)
def test_words_that_make_no_command_are_a_commands_error(
    words: tuple[str, ...], reason: str
) -> None:
    """Nothing is sent, and the message names no value of a claim."""
    with pytest.raises(CommandError, match=reason) as caught:
        call_command("jwtrole", *words)

    assert SECRET not in str(caught.value)


def test_what_the_database_refuses_is_a_commands_error(sealed: Project) -> None:
    """An issuer nobody trusts is named by the server's message, the value is not."""
    words = ("jwtrole", "deny", "https://slip.test/", "--sub", SECRET)

    said = sealed.manage(*words, fails=True)

    assert "CommandError: Nothing was applied, the server said: there is no" in said
    assert SECRET not in said


def test_a_database_that_verifies_nothing_says_so(server: postgres.Server) -> None:
    """In the application mode there is nothing to rotate or to deny."""
    name = f"untold_{uuid.uuid4().hex[:8]}"
    server.create_database(name)
    project = Project(server, name)
    for words in (("keys", "rotate-seal"), ("deny", ISSUER, "--sub", SECRET)):
        said = project.manage("jwtrole", *words, fails=True)

        assert "CommandError: Nothing was applied, the database does not verify" in said
        assert SECRET not in said
    server.drop_database(name)


def test_another_kind_of_database_trusts_nobody() -> None:
    """An alias of another vendor is refused by name."""

    class Elsewhere:
        vendor = "sqlite"
        settings_dict: dict[str, Any] = {}  # noqa: RUF012

    kept = connections["owner"]
    connections["owner"] = Elsewhere()
    try:
        with pytest.raises(CommandError, match="'owner' is no PostgreSQL"):
            call_command("jwtrole", "keys", "rotate-seal", stdout=io.StringIO())
    finally:
        connections["owner"] = kept


def test_a_denied_value_stands_in_no_text_that_others_read(
    sealed: Project, owner: psycopg.Connection
) -> None:
    """While a denial waits, another session of the owner reads it without the value."""
    words = ("deny", ISSUER, "--sub", SECRET)
    read = read_while_waiting(sealed, owner, "issuer IN ACCESS EXCLUSIVE MODE", *words)

    assert read == "SELECT jwtrole.deny($1, $2, $3)"


def test_a_key_stands_in_no_text_that_others_read(
    sealed: Project, owner: psycopg.Connection
) -> None:
    """While a shared secret is pushed, another session of the owner reads no key."""
    owner.execute("DELETE FROM jwtrole.key")

    read = read_while_waiting(sealed, owner, "key IN SHARE MODE", "issuers", "sync")

    assert "jwtrole.add_key" in read
    assert base64.urlsafe_b64encode(KEY.encode()).rstrip(b"=").decode() not in read
    assert "$2" in read
