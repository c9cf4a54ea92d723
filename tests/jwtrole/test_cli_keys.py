"""The command line ends tokens and tickets before their time."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import uuid
from typing import TYPE_CHECKING

import pytest

from jwtrole import revocation
from jwtrole.cli import main
from jwtrole.errors import ConfigurationError
from tests import postgres, trusting
from tests.database import fixtures
from tests.database.acting import Attempt, TrustedIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SECRET = "a-value-that-nobody-may-read"
SOON = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)

attempt = fixtures.attempt
issuer = fixtures.issuer
neighbour = fixtures.neighbour
owner = fixtures.owner
sealed_database = fixtures.sealed_database


@pytest.fixture
def dsn(owner: psycopg.Connection) -> str:
    """Return the owner's DSN of a database that verifies tokens."""
    return owner.info.dsn


@pytest.fixture
def elsewhere(server: postgres.Server) -> Iterator[str]:
    """Return the owner's DSN of a database that takes the application's word."""
    name = f"cli_keys_{uuid.uuid4().hex[:8]}"
    server.create_database(name)
    yield server.conninfo(postgres.OWNER, name)
    server.drop_database(name)


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that succeeds, and return what it said."""
    capsys.readouterr()
    status = main(words)
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    return printed.out


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that fails, and return what it said."""
    capsys.readouterr()
    status = main(words)
    printed = capsys.readouterr()
    assert (status, printed.out) == (1, "")
    return printed.err


def test_rotating_the_seal_ends_every_ticket(
    capsys: pytest.CaptureFixture[str],
    dsn: str,
    issuer: TrustedIssuer,
    attempt: Attempt,
    neighbour: Attempt,
) -> None:
    """Tickets and open transactions end, tokens log in again, and it is said so."""
    token = issuer.mint()
    ticket = attempt.ticket(token)
    neighbour.log_in(token)

    said = ran(capsys, "keys", "rotate-seal", "--dsn", dsn)

    assert "every ticket has ended, and clients log in again by themselves" in said
    assert attempt.resume_refused(ticket) == "JW001"
    assert neighbour.nobody
    assert attempt.log_in(token)[0] == "member"


def test_a_denied_token_is_refused_and_others_are_not(
    capsys: pytest.CaptureFixture[str],
    dsn: str,
    issuer: TrustedIssuer,
    attempt: Attempt,
) -> None:
    """Its ticket ends and no login helps, until it is allowed again."""
    denied, other = issuer.mint(jti=SECRET), issuer.mint(jti="other")
    tickets = [attempt.ticket(denied), attempt.ticket(other)]
    named = (issuer.name, "--jti", SECRET, "--dsn", dsn)

    said = [ran(capsys, "deny", *named)]

    assert [attempt.resume_refused(ticket) for ticket in tickets] == ["JW001"] * 2
    assert attempt.login_refused(denied) == "JW003"
    assert attempt.ticket(other)

    said.append(ran(capsys, "allow", *named))

    assert attempt.ticket(denied)
    assert [SECRET in text for text in said] == [False, False]
    assert (
        f"Tokens of {issuer.name!r} with that jti are refused from now on." in said[0]
    )
    assert "its other clients log in again by themselves" in said[0]
    assert f"does not name that jti of {issuer.name!r}, or no longer" in said[1]


def test_a_denied_subject_is_one_of_its_issuer_alone(
    capsys: pytest.CaptureFixture[str],
    dsn: str,
    owner: psycopg.Connection,
    issuer: TrustedIssuer,
    attempt: Attempt,
) -> None:
    """Another issuer's subject of the same name keeps its ticket."""
    other = TrustedIssuer(owner)
    other.trust()
    ticket = attempt.ticket(other.mint(sub=SECRET))

    ran(capsys, "deny", issuer.name, "--sub", SECRET, "--dsn", dsn)

    assert attempt.login_refused(issuer.mint(sub=SECRET)) == "JW003"
    assert attempt.ticket(issuer.mint(sub="somebody"))
    assert attempt.resume(ticket) == "member"
    other.tell("untrust")


def test_a_denial_can_have_an_end(
    capsys: pytest.CaptureFixture[str],
    dsn: str,
    issuer: TrustedIssuer,
    attempt: Attempt,
) -> None:
    """The moment is kept as it was given, in its own time zone, and is said."""
    until = SOON.astimezone(dt.timezone(dt.timedelta(hours=-3))).isoformat()

    words = ("deny", issuer.name, "--sub", "ann", "--until", until, "--dsn", dsn)
    said = ran(capsys, *words)

    assert f"from now on until {until}." in said
    assert attempt.login_refused(issuer.mint()) == "JW003"
    rows = issuer.owner.execute(
        "SELECT kind, value, until FROM jwtrole.denied WHERE issuer = %s",
        (issuer.name,),
    )
    assert rows.fetchall() == [("sub", "ann", SOON)]


def test_values_are_data(
    capsys: pytest.CaptureFixture[str],
    dsn: str,
    issuer: TrustedIssuer,
    attempt: Attempt,
) -> None:
    """What would be SQL, a placeholder or an option is a value like any other."""
    for value in ("'); DROP TABLE jwtrole.denied; --", "%s $1 %(x)s", "--dsn", "é\n"):
        ran(capsys, "deny", issuer.name, f"--sub={value}", "--dsn", dsn)

        assert attempt.login_refused(issuer.mint(sub=value)) == "JW003"


def test_an_issuer_that_is_not_trusted_is_no_ones_to_deny(
    capsys: pytest.CaptureFixture[str], dsn: str
) -> None:
    """A slip in the name is an error, not a denial that denies nobody."""
    words = ("deny", "https://slip.test/", "--sub", SECRET, "--dsn", dsn)

    said = failed(capsys, *words)

    assert "Nothing was applied, the server said: there is no such issuer" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "rotate-seal"),
        ("deny", "https://id.test/", "--sub", SECRET),
        ("allow", "https://id.test/", "--jti", SECRET),
    ],
)
def test_a_database_that_verifies_nothing_is_told_from_one_that_refuses(
    capsys: pytest.CaptureFixture[str], elsewhere: str, words: tuple[str, ...]
) -> None:
    """In the application mode the error names what to install, and no value."""
    said = failed(capsys, *words, "--dsn", elsewhere)

    assert "Nothing was applied, the database does not verify tokens itself" in said
    assert "trust='database'" in said
    assert SECRET not in said


def test_only_the_owner_is_obeyed(
    capsys: pytest.CaptureFixture[str],
    server: postgres.Server,
    issuer: TrustedIssuer,
    attempt: Attempt,
    sealed_database: str,
) -> None:
    """The application's login can neither deny nor allow nor rotate."""
    ticket = attempt.ticket(issuer.mint())
    dsn = ("--dsn", server.conninfo(postgres.LOGIN, sealed_database))
    for words in (
        ("keys", "rotate-seal"),
        ("deny", issuer.name, "--sub", "ann"),
        ("allow", issuer.name, "--sub", "ann"),
    ):
        assert "permission denied" in failed(capsys, *words, *dsn)

    assert attempt.resume(ticket) == "member"


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        ("tomorrow", "is 'tomorrow' and not a date"),
        ("2999-01-01", "with its offset from UTC"),
        ("2999-01-01T00:00:00", "with its offset from UTC"),
        ("infinity", "is 'infinity' and not a date"),
        ("2020-01-01T00:00:00Z", "is 2020-01-01T00:00:00+00:00, which is over"),
    ],
)
def test_an_end_that_could_be_read_in_two_ways_is_refused(
    capsys: pytest.CaptureFixture[str], until: str, reason: str
) -> None:
    """A moment without its offset, or that is over, is said before anything is sent."""
    words = ("deny", "i", "--sub", SECRET, "--until", until, "--dsn", "host=/nowhere")

    said = failed(capsys, *words)

    assert reason in said
    assert SECRET not in said


@pytest.mark.parametrize("verb", ["deny", "allow"])
def test_an_empty_value_is_a_slip(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """A variable of the shell that was not set denies nobody unnoticed."""
    said = failed(capsys, verb, "i", "--jti", "", "--dsn", "host=/nowhere")

    assert "The jti is empty" in said


@pytest.mark.parametrize(
    "words",
    [
        ("keys",),
        ("keys", "rotate"),
        ("keys", "rotate-seal"),
        ("deny", "i", "--dsn", "d"),
        ("deny", "i", "--jti", "a", "--sub", "b", "--dsn", "d"),
        ("deny", "i", "--jti", "a"),
        ("allow", "i", "--jti", "a", "--until", "2999-01-01T00:00:00Z", "--dsn", "d"),
    ],
)
def test_half_a_command_is_explained(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """What lacks a word, or has one too many, ends with the usage and status 2."""
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert "usage: jwtrole" in capsys.readouterr().err


@pytest.mark.parametrize("claims", [{}, {"jti": "a", "sub": "b"}])
def test_a_denial_names_one_claim(claims: dict[str, str]) -> None:
    """Called from Python, neither claim or both is an error too."""
    for change in (revocation.deny, revocation.allow):
        with pytest.raises(ConfigurationError, match="either a jti or"):
            change("https://id.test/", **claims)


def test_a_value_stands_in_no_text_that_others_read(
    server: postgres.Server, issuer: TrustedIssuer, dsn: str
) -> None:
    """While a denial waits, another session of the owner reads it without the value."""
    words = ("deny", issuer.name, "--sub", SECRET, "--dsn", dsn)
    waits = threading.Thread(target=main, args=(words,))
    name = issuer.owner.info.dbname
    with contextlib.closing(server.connect(postgres.OWNER, name)) as other:
        with issuer.owner.transaction():
            issuer.owner.execute("LOCK TABLE jwtrole.issuer IN ACCESS EXCLUSIVE MODE")
            waits.start()
            read = trusting.waiting(other)
        waits.join()

    assert read == "SELECT jwtrole.deny($1, $2, $3)"
