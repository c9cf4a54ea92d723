"""The error tree."""

from __future__ import annotations

import pytest

from jwtrole import errors
from jwtrole.difference import Difference, Kind


def test_every_error_is_one_of_ours() -> None:
    """Whoever catches JWTRoleError catches everything that is raised."""
    found = {name: getattr(errors, name) for name in errors.__all__}
    others = [n for n, e in found.items() if not issubclass(e, errors.JWTRoleError)]

    assert others == ["TrustWarning"]
    assert issubclass(errors.TrustWarning, UserWarning)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigurationError("x"), 500),
        (errors.TokenExpired("x"), 401),
        (errors.TokenRejected("x"), 401),
        (errors.UnknownIssuer("x"), 401),
        (errors.KeysUnavailable("x", issuer="i"), 503),
        (errors.RoleDenied("x"), 403),
        (errors.NoIdentity("x"), 401),
        (errors.IdentityChanged("x", in_force="a", wanted="b"), 500),
        (errors.DriftError("x"), 500),
    ],
)
def test_the_status_a_client_sees(error: errors.JWTRoleError, status: int) -> None:
    """Each error knows the HTTP status it is answered with."""
    assert error.status == status
    assert str(error) == "x"


def test_token_errors_carry_issuer_and_kid() -> None:
    """A token error says which issuer and which key it is about."""
    error = errors.TokenRejected("x", issuer="https://issuer.test/", kid="k1")
    assert (error.issuer, error.kid) == ("https://issuer.test/", "k1")


def test_token_errors_know_neither_at_times() -> None:
    """A token that cannot be read names neither issuer nor key."""
    error = errors.TokenRejected("x")
    assert (error.issuer, error.kid) == (None, None)


def test_keys_unavailable_says_when_to_come_back() -> None:
    """A client is told which issuer is out and how long to wait."""
    error = errors.KeysUnavailable("x", issuer="https://issuer.test/", retry_after=7)
    assert (error.issuer, error.retry_after) == ("https://issuer.test/", 7)


def test_role_denied_lists_the_roles() -> None:
    """The allowed roles come as evidence, never the role that was asked for."""
    assert errors.RoleDenied("x", allowed=["member"]).allowed == ("member",)


def test_identity_changed_names_both_roles() -> None:
    """The role in force and the role wanted come as evidence."""
    error = errors.IdentityChanged("x", in_force="member", wanted="manager")
    assert (error.in_force, error.wanted) == ("member", "manager")


def test_drift_names_the_differences() -> None:
    """Each difference comes as evidence, and in the message with its repair."""
    found = Difference(
        kind=Kind.ROW_SECURITY_OFF, table="note", repair="ALTER TABLE note;\nANALYZE;"
    )
    error = errors.DriftError("Repair it.", differences=[found])

    assert error.differences == (found,)
    assert str(error) == (
        "Repair it.\nnote: row security is off: no policy counts.\n"
        "  declared: nothing\n  there: nothing\n"
        "  repair: ALTER TABLE note;\n    ANALYZE;"
    )
