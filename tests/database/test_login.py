"""A token or a ticket puts an identity on for one transaction; nothing else does."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from jwt import PyJWS

from jwtrole import install
from jwtrole.strict import decode_part
from tests.database.acting import ANONYMOUS, LOG_IN, RESUME

if TYPE_CHECKING:
    from tests.database.acting import Attempt, TrustedIssuer

LONG_AGO = 1_000_000_000


def test_a_token_puts_its_identity_on(issuer: TrustedIssuer, attempt: Attempt) -> None:
    """Login answers with role, ticket and expiry, and every claim can be read."""
    before = time.time()
    role, ticket, expires = attempt.log_in(issuer.mint(nothing=None, ratio=0.5))

    assert role == "member"
    assert attempt.value("SELECT current_user::text") == "member"
    assert len(ticket) > 64
    assert 298 <= expires.timestamp() - before <= 302
    assert attempt.run(
        "SELECT jwtrole.sealed(), jwtrole.subject(), jwtrole.claim('tenant'),"
        " jwtrole.claim('absent'), jwtrole.claims() ->> 'ratio',"
        " jwtrole.require('member')"
    ) == [(True, "ann", "7", None, "0.5", "")]


def test_a_ticket_puts_the_same_identity_on(
    issuer: TrustedIssuer, attempt: Attempt, neighbour: Attempt
) -> None:
    """Resumed in later transactions and on another connection, nothing differs."""
    _, ticket, _ = attempt.log_in(issuer.mint(name="é \"\\ ' 𝄞"))
    claims = attempt.value("SELECT jwtrole.claims()")
    attempt.end()

    for who in (attempt, attempt, neighbour):
        assert who.resume(ticket) == "member"
        assert who.value("SELECT jwtrole.claims()") == claims
        assert who.value("SELECT current_user::text") == "member"
        who.end()


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_the_end_of_the_transaction_ends_the_identity(
    issuer: TrustedIssuer, attempt: Attempt, end: str
) -> None:
    """After COMMIT or ROLLBACK the session is the login role and nobody."""
    attempt.log_in(issuer.mint())
    attempt.run(end)

    assert attempt.value("SELECT current_user::text") == "app_login"
    assert attempt.nobody


def test_postgrests_setting_holds_the_same_claims(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Policies written for PostgREST find the claims, after login and resume."""
    read = "SELECT current_setting('request.jwt.claims')::jsonb = jwtrole.claims()"
    _, ticket, _ = attempt.log_in(issuer.mint())
    assert attempt.value(read) is True
    attempt.end()

    attempt.resume(ticket)
    assert attempt.value(read) is True


def test_read_only_transactions_work_and_nothing_is_written(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Login, resume, anonymous and claims assign no transaction id."""
    issuer.owner.execute("SELECT jwtrole.set_anonymous('anon')")
    begin = "BEGIN READ ONLY"
    _, ticket, _ = attempt.log_in(issuer.mint(), begin)
    attempt.end()
    assert attempt.resume(ticket, begin) == "member"
    assert attempt.value("SELECT jwtrole.claim('sub')") == "ann"
    attempt.end()
    attempt.run(begin, ANONYMOUS)
    attempt.end()

    attempt.log_in(issuer.mint())
    attempt.run("RESET ROLE", ANONYMOUS)
    assert attempt.value("SELECT pg_current_xact_id_if_assigned()") is None


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"exp": LONG_AGO}, "JW004"),
        ({"exp": None}, "JW003"),
        ({"exp": "1"}, "JW003"),
        ({"exp": -1}, "JW003"),
        ({"exp": 253_402_300_800}, "JW003"),
        ({"exp": True}, "JW003"),
        ({"nbf": "soon"}, "JW003"),
        ({"nbf": 253_402_300_799}, "JW003"),
        ({"iat": 253_402_300_799}, "JW003"),
        ({"iat": [1]}, "JW003"),
        ({"aud": None}, "JW003"),
        ({"aud": "other"}, "JW003"),
        ({"aud": []}, "JW003"),
        ({"aud": ["billing", 1]}, "JW003"),
        ({"aud": ["billing", ["x"]]}, "JW003"),
        ({"aud": {"billing": 1}}, "JW003"),
        ({"sub": 1}, "JW003"),
        ({"jti": 1}, "JW003"),
        ({"iss": None}, "JW003"),
        ({"iss": "https://other.test/"}, "JW003"),
        ({"role": None}, "JW005"),
        ({"role": "manager"}, "JW005"),
        ({"role": []}, "JW005"),
        ({"role": ["member", 1]}, "JW005"),
        ({"role": {"member": 1}}, "JW005"),
        ({"role": 7}, "JW005"),
        # As in Python: whom the token is for comes before its time, roles come last.
        ({"aud": "other", "exp": LONG_AGO}, "JW003"),
        ({"role": "none", "exp": LONG_AGO}, "JW004"),
    ],
)
def test_claims_that_are_no_good_are_refused(
    issuer: TrustedIssuer, attempt: Attempt, changes: dict[str, Any], state: str
) -> None:
    """Each fault of a rightly signed token has its own SQLSTATE and no identity."""
    payload = {**json.loads(decode_part(issuer.mint().split(".")[1])), **changes}
    wanted = {name: value for name, value in payload.items() if value is not None}

    assert attempt.login_refused(_signed(issuer, wanted)) == state
    assert attempt.nobody


def _signed(issuer: TrustedIssuer, payload: dict[str, Any]) -> str:
    # The library's own mint refuses to write such claims.
    return PyJWS().encode(
        json.dumps(payload).encode(),
        issuer.secret,
        algorithm="HS256",
        headers={"kid": "first"},
    )


@pytest.mark.parametrize("junk", [None, "", "x", "a.b.c", "é", "0" * 64 + "[1]", "{"])
def test_junk_is_refused_with_its_own_state(attempt: Attempt, junk: str | None) -> None:
    """What is no token or ticket at all is JW003 or JW001 and no other error."""
    for mode in ("auto", "force_custom_plan", "force_generic_plan"):
        attempt.run(f"SET plan_cache_mode = {mode}")

        assert attempt.login_refused(junk) == "JW003"
        assert attempt.resume_refused(junk) == "JW001"


def test_the_leeway_counts_on_both_ends(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Seconds within the leeway pass, beyond it they do not."""
    now = int(time.time())
    attempt.log_in(issuer.mint(exp=now - 10, nbf=now + 20, iat=now + 20))
    assert attempt.value("SELECT jwtrole.claim('sub')") == "ann"
    attempt.end()

    assert attempt.login_refused(issuer.mint(exp=now - 31)) == "JW004"
    assert attempt.login_refused(issuer.mint(nbf=now + 60)) == "JW003"
    assert attempt.login_refused(issuer.mint(iat=now + 60)) == "JW003"


def test_a_ticket_ends_with_its_token_and_without_leeway(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """A ticket lasts until exp at most; in the leeway each transaction logs in."""
    now = int(time.time())
    _, ticket, expires = attempt.log_in(issuer.mint(exp=now - 10))
    attempt.end()

    assert expires == dt.datetime.fromtimestamp(now - 10, dt.UTC)
    assert attempt.resume_refused(ticket) == "JW002"


def test_a_ticket_ends_after_the_issuers_longest(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """A ticket of a token that lasts longer ends after max_ticket seconds."""
    issuer.trust_again(max_ticket=1)
    token = issuer.mint()
    _, ticket, _ = attempt.log_in(token)
    attempt.end()
    attempt.run("SELECT pg_sleep(1.01)")

    assert attempt.resume_refused(ticket) == "JW002"
    attempt.log_in(token)
    assert attempt.sealed


def test_claims_end_with_the_token_inside_a_transaction(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """The expiry is looked at again by each statement that reads a claim."""
    issuer.trust_again(leeway=0)
    attempt.log_in(issuer.mint(exp=int(time.time()) + 2))
    assert attempt.sealed
    attempt.run("SELECT pg_sleep(2.01)")

    assert attempt.sealed is False
    for call in ("claim('sub')", "claims()", "subject()"):
        assert attempt.refused(f"SELECT jwtrole.{call}") == "JW004"
    assert attempt.refused("SELECT jwtrole.require('member')") == "JW005"


@pytest.mark.parametrize(
    ("path", "claims", "expected"),
    [
        (("role",), {"role": "boss"}, "manager"),
        (("role",), {"role": ["none", "boss", "member"]}, "manager"),
        (("role",), {"role": ["member", "boss"]}, "member"),
        (("https://x.test/role",), {"https://x.test/role": "boss"}, "manager"),
        (("realm", "roles"), {"realm": {"roles": ["boss"]}}, "manager"),
        (("a", "0"), {"a": {"0": "member"}}, "member"),
    ],
)
def test_the_role_stands_where_the_path_says(
    issuer: TrustedIssuer,
    attempt: Attempt,
    path: tuple[str, ...],
    claims: dict[str, Any],
    expected: str,
) -> None:
    """A literal name or a path leads to it; in an array the first mapped one wins."""
    issuer.trust_again(role_claim=path)

    role, ticket, _ = attempt.log_in(issuer.mint(**claims))
    attempt.end()

    assert role == attempt.resume(ticket) == expected


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        (("realm", "roles"), {"realm": ["roles"]}),
        (("realm", "roles"), {"realm": "roles"}),
        (("realm", "0"), {"realm": ["member"]}),
        (("realm", "roles"), {"realm": {"roles": None}}),
        (("realm", "roles"), {}),
    ],
)
def test_a_path_leads_through_objects_alone(
    issuer: TrustedIssuer,
    attempt: Attempt,
    path: tuple[str, ...],
    claims: dict[str, Any],
) -> None:
    """Where the path ends early or meets an array there is no role."""
    issuer.trust_again(role_claim=path)

    assert attempt.login_refused(issuer.mint(**claims)) == "JW005"


def test_the_anonymous_role_is_sealed_and_has_no_claim(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Without a token the anonymous role acts, and each claim is NULL."""
    issuer.owner.execute("SELECT jwtrole.set_anonymous('anon')")
    attempt.run("BEGIN", ANONYMOUS)

    assert attempt.run(
        "SELECT current_user::text, jwtrole.sealed(), jwtrole.claim('sub'),"
        " jwtrole.claims(), jwtrole.require('anon')"
    ) == [("anon", True, None, {}, "")]


def test_without_an_anonymous_role_nobody_acts(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Where none is set, to act without a token is refused."""
    issuer.owner.execute("SELECT jwtrole.set_anonymous(NULL)")

    assert attempt.refused(ANONYMOUS) == "JW005"


def test_prepared_statements_follow_the_identity(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """One prepared statement answers each identity with its own claims."""
    attempt.run("PREPARE who AS SELECT jwtrole.claim('sub'), current_user::text")
    tickets = {
        name: attempt.ticket(issuer.mint(sub=name, role=role))
        for name, role in (("ann", "member"), ("bob", "boss"))
    }

    for _ in range(8):
        for name, role in (("ann", "member"), ("bob", "manager")):
            attempt.resume(tickets[name])
            assert attempt.run("EXECUTE who") == [(name, role)]
            attempt.end()


def test_a_savepoint_takes_its_identity_away(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """ROLLBACK TO leaves nobody behind where the identity came after the savepoint."""
    attempt.run("BEGIN", "SAVEPOINT s")
    attempt.run(LOG_IN, arguments=(issuer.mint(),))
    attempt.run("ROLLBACK TO s")

    assert attempt.nobody


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_every_isolation_level_works(
    issuer: TrustedIssuer, attempt: Attempt, isolation: str
) -> None:
    """Login and resume stand at the beginning of any transaction."""
    begin = f"BEGIN ISOLATION LEVEL {isolation}"
    _, ticket, _ = attempt.log_in(issuer.mint(), begin)
    attempt.end()

    assert attempt.resume(ticket, begin) == "member"
    assert attempt.sealed


def test_only_the_login_role_may_begin(issuer: TrustedIssuer, attempt: Attempt) -> None:
    """A fixed role can call no entry point, even with its own token and ticket."""
    token = issuer.mint()
    ticket = attempt.ticket(token)
    attempt.resume(ticket)

    assert attempt.login_refused(token) == "42501"
    assert attempt.resume_refused(ticket) == "42501"
    assert attempt.refused("SELECT jwtrole.anonymous()") == "42501"


def test_the_schema_says_its_version(attempt: Attempt) -> None:
    """Everybody may ask, and the answer is that of the newest database release."""
    version = attempt.value("SELECT jwtrole.version()")

    assert version == install.latest("database").version == install.LATEST


def test_no_message_holds_a_token_or_a_claim(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """What is refused is named by its fault; the message holds none of it."""
    tokens = [
        issuer.mint(sub="secret-sub", role="secret-role"),
        issuer.mint(sub="secret-sub", aud="secret-aud"),
        issuer.mint(sub="secret-sub", exp=LONG_AGO),
        issuer.mint(sub="secret-sub", iss="https://secret.test/"),
    ]
    ticket = attempt.ticket(issuer.mint(sub="secret-sub"))
    for query, text in [*((LOG_IN, t) for t in tokens), (RESUME, ticket + " ")]:
        with pytest.raises(psycopg.Error) as caught:
            attempt.run(query, arguments=(text,))

        assert "secret" not in str(caught.value)
        assert text[:20] not in str(caught.value)
