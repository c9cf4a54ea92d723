from __future__ import annotations

import time

import jwt
import pytest

from jwtrole import JWTRole, current_identity
from jwtrole import acting_as as acting_as_identity
from jwtrole.errors import ConfigurationError, RoleDenied, TokenError, TokenExpired
from jwtrole.testing import ThrowawayIssuer, acting_as

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip


def trusting(*issuers: ThrowawayIssuer) -> JWTRole:
    """Return what trusts some issuers and knows two roles."""
    return JWTRole([one.issuer for one in issuers], roles=["member", "manager"])


@pytest.fixture(scope="module")
def issuer() -> ThrowawayIssuer:
    """Return one issuer for the tests that read its tokens only."""
    return ThrowawayIssuer()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_mints_what_verifies(algorithm: str) -> None:
    """A token of each algorithm with a key pair is verified to what was minted."""
    issuer = ThrowawayIssuer(algorithm=algorithm)

    identity = issuer.identity(trusting(issuer), role="member", sub="ann")

    assert (identity.role, identity.subject) == ("member", "ann")
    assert jwt.get_unverified_header(issuer.mint())["alg"] == algorithm


@pytest.mark.parametrize("algorithm", ["HS256", "none", "RS999", "ES256K", ""])
def test_an_algorithm_without_a_key_pair_is_refused(algorithm: str) -> None:
    """What cannot be signed with a throw-away key pair fails with what can."""
    with pytest.raises(ConfigurationError, match=r"signs with RS256, .*EdDSA, not"):
        ThrowawayIssuer(algorithm=algorithm)


def test_the_registered_claims_are_filled_in(issuer: ThrowawayIssuer) -> None:
    """A bare token has issuer, audience, and ten minutes from now on."""
    before = int(time.time())

    claims = jwt.decode(issuer.mint(), options={"verify_signature": False})

    assert set(claims) == {"iss", "aud", "iat", "exp"}
    assert (claims["iss"], claims["aud"]) == (issuer.name, issuer.audience)
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == 600


def test_claims_are_replaced_and_left_out(issuer: ThrowawayIssuer) -> None:
    """A claim that is given replaces the usual one, and None leaves it out."""
    token = issuer.mint(aud="else", iat=None, role=["a"], admin=False)

    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["aud"] == "else"
    assert "iat" not in claims
    assert (claims["role"], claims["admin"]) == (["a"], False)


def test_another_throwaway_issuer_is_refused(issuer: ThrowawayIssuer) -> None:
    """A token signed with another throw-away key of the same name is no good."""
    stranger = ThrowawayIssuer(issuer.name, issuer.audience, issuer.algorithm)

    with pytest.raises(TokenError):
        stranger.identity(trusting(issuer), role="member")


def test_several_issuers_are_told_apart() -> None:
    """Issuers of other names and algorithms are trusted side by side."""
    one = ThrowawayIssuer("https://one.test/", "a")
    two = ThrowawayIssuer("https://two.test/", "b", "ES256")
    auth = trusting(one, two)

    assert one.identity(auth, role="member").issuer == "https://one.test/"
    assert two.identity(auth, role="manager").issuer == "https://two.test/"


def test_the_settings_make_the_same_issuer(issuer: ThrowawayIssuer) -> None:
    """What Django's setting gets is what Issuer takes, and verifies its tokens."""
    from jwtrole import Issuer

    auth = JWTRole([Issuer(**issuer.settings)], roles=["member"])

    assert issuer.identity(auth, role="member").role == "member"


def test_the_jwks_holds_no_private_part(issuer: ThrowawayIssuer) -> None:
    """What may be published is the public key alone."""
    rsa = ThrowawayIssuer(algorithm="RS256")

    for key in (*issuer.jwks["keys"], *rsa.jwks["keys"]):
        assert {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key) == set()


def test_acting_as_goes_the_real_way(issuer: ThrowawayIssuer) -> None:
    """Inside the block the minted token's identity acts, afterwards nobody does."""
    auth = trusting(issuer)

    with acting_as(auth, issuer, role="manager", sub="carol") as block:
        inside = current_identity()
        assert isinstance(block, acting_as_identity)

    assert inside is not None
    assert (inside.role, inside.subject) == ("manager", "carol")
    assert inside.token is not None
    assert auth.verify(inside.token) == inside
    assert current_identity() is None


@pytest.mark.asyncio
async def test_acting_as_works_in_coroutines(issuer: ThrowawayIssuer) -> None:
    """The block is as good in a coroutine."""
    async with acting_as(trusting(issuer), issuer, role="member"):
        inside = current_identity()

    assert inside is not None
    assert inside.role == "member"


def test_acting_as_takes_no_shortcut(issuer: ThrowawayIssuer) -> None:
    """Neither an expired token nor a role outside the list gets in by way of tests."""
    auth = trusting(issuer)

    with pytest.raises(TokenExpired):
        acting_as(auth, issuer, role="member", exp=int(time.time()) - 3600)
    with pytest.raises(RoleDenied):
        acting_as(auth, issuer, role="admin")
    assert current_identity() is None
