"""Trusted issuers: their settings, and whether a token is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from jwtrole import compact
from jwtrole.errors import ConfigurationError, TokenExpired, TokenRejected
from jwtrole.issuers import Issuer
from tests.jwtrole.making import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    private_key,
    public_jwk,
    public_pem,
    secret_issuer,
    sign,
)

URL = "https://id.example.com/jwks.json"


def check(issuer: Issuer, token: str) -> tuple[float, float]:
    """Check a token as a whole."""
    read = compact.parse(token)
    issuer.check_signature(read)
    return issuer.check_claims(read, NOW)


def rejected(issuer: Issuer, token: str, match: str) -> None:
    """Check a token that must be rejected, with evidence and without its values."""
    with pytest.raises(TokenRejected, match=match) as caught:
        check(issuer, token)
    assert caught.value.issuer == ISSUER
    assert "alice" not in str(caught.value)
    assert token not in str(caught.value)


def test_an_issuer_says_what_it_is() -> None:
    """Its settings can be read, and have sane defaults."""
    issuer = Issuer(ISSUER, audience="a", jwks_uri=URL, algorithms=["RS256", "PS256"])
    assert issuer.issuer == ISSUER
    assert issuer.audience == ("a",)
    assert issuer.algorithms == ("RS256", "PS256")
    assert issuer.jwks_uri == URL
    assert issuer.leeway == 30
    assert issuer.generation == 0
    assert not issuer.ready()


@pytest.mark.parametrize(
    ("source", "algorithms"),
    [
        ({"secret": SECRET, "algorithms": ["HS512"]}, ("HS512",)),
        ({"key": public_jwk("EdDSA")}, ("EdDSA",)),
        ({"key": public_pem(private_key("ES256"))}, ("ES256",)),
        ({"jwks": {"keys": [public_jwk("ES384")]}}, ("ES384",)),
        ({"key": public_jwk("RS256"), "algorithms": ("RS256",)}, ("RS256",)),
    ],
)
def test_keys_come_from_one_source(
    source: dict[str, Any], algorithms: tuple[str, ...]
) -> None:
    """A set, a key or a secret at hand is ready at once and never changes."""
    issuer = Issuer(ISSUER, audience=AUDIENCE, **source)
    assert issuer.algorithms == algorithms
    assert issuer.jwks_uri is None
    assert issuer.ready()
    assert issuer.generation == 0


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"secret": SECRET, "key": public_jwk("EdDSA")},
        {"jwks_uri": URL, "jwks": {"keys": []}},
        {"jwks_uri": URL, "secret": SECRET},
    ],
)
def test_exactly_one_source_of_keys(sources: dict[str, Any]) -> None:
    """None would verify nothing, two would leave open which counts."""
    with pytest.raises(ConfigurationError, match="one source of keys") as caught:
        Issuer(ISSUER, audience=AUDIENCE, algorithms=["RS256"], **sources)
    assert all(name in str(caught.value) for name in sources)


@pytest.mark.parametrize("name", ["", None, 7, [ISSUER]])
def test_an_issuer_has_a_name(name: Any) -> None:
    """The name is a non-empty string."""
    with pytest.raises(ConfigurationError, match="issuer is"):
        Issuer(name, audience=AUDIENCE, key=public_jwk("EdDSA"))


@pytest.mark.parametrize("audience", ["", [], [""], ["a", None], (7,)])
def test_an_issuer_has_an_audience(audience: Any) -> None:
    """A token for nobody in particular is for nobody."""
    with pytest.raises(ConfigurationError, match="audience is"):
        Issuer(ISSUER, audience=audience, key=public_jwk("EdDSA"))


@pytest.mark.parametrize("leeway", [-1, 301, "30", None, True, float("nan")])
def test_the_leeway_is_bounded(leeway: Any) -> None:
    """From nothing to five minutes."""
    assert secret_issuer(leeway=0).leeway == 0
    assert secret_issuer(leeway=300.0).leeway == 300
    with pytest.raises(ConfigurationError, match="leeway is a number of seconds"):
        secret_issuer(leeway=leeway)


@pytest.mark.parametrize("lifetime", [0, 86_401, None, "1h"])
def test_the_keys_lifetime_is_bounded(lifetime: Any) -> None:
    """From a second to a day."""
    with pytest.raises(ConfigurationError, match="jwks_lifetime is a number"):
        secret_issuer(jwks_lifetime=lifetime)


@pytest.mark.parametrize("algorithms", [None, ["HS256"], ["HS384", "HS512"]])
def test_fetched_keys_need_asymmetric_algorithms(algorithms: Any) -> None:
    """What is fetched neither chooses the algorithm nor is a secret."""
    with pytest.raises(ConfigurationError, match="With jwks_uri, algorithms"):
        Issuer(ISSUER, audience=AUDIENCE, jwks_uri=URL, algorithms=algorithms)


def test_fetched_keys_need_https() -> None:
    """An http URL elsewhere is refused when the issuer is declared."""
    with pytest.raises(ConfigurationError, match="https"):
        Issuer(
            ISSUER,
            audience=AUDIENCE,
            jwks_uri="http://id.example.com/",
            algorithms=["RS256"],
        )


def test_a_repr_holds_no_key() -> None:
    """What reaches a log by accident holds name, audience and algorithms alone."""
    assert repr(secret_issuer()) == (
        "<Issuer 'https://issuer.test/' audience=('billing',) algorithms=('HS256',)>"
    )


def test_an_issuer_is_not_extended() -> None:
    """A misspelt attribute is an error."""
    with pytest.raises(AttributeError):
        secret_issuer().audiences = ("x",)


def test_a_good_token_passes() -> None:
    """Its time is told with the leeway on both sides."""
    token = sign(nbf=NOW - 100, iat=NOW - 200, exp=NOW + 10)
    assert check(secret_issuer(), token) == (NOW - 130, NOW + 40)


def test_a_token_without_nbf_and_iat_passes() -> None:
    """Neither is required."""
    assert check(secret_issuer(), sign(iat=None)) == (-30, NOW + 630)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_an_algorithm_outside_the_list_is_rejected(algorithm: str) -> None:
    """A right signature of a wrong algorithm is none."""
    rejected(secret_issuer(), sign(algorithm), "one of the issuer's algorithms")


def test_an_unknown_kid_is_rejected() -> None:
    """A key with another id is not tried."""
    issuer = Issuer(ISSUER, audience=AUDIENCE, key=public_jwk("EdDSA", kid="1"))
    assert check(issuer, sign("EdDSA", kid="1"))
    assert check(issuer, sign("EdDSA"))
    rejected(issuer, sign("EdDSA", kid="2"), "a key that the issuer does not have")


def test_the_right_key_of_several_is_found() -> None:
    """Without a kid each key of the algorithm is tried."""
    keys = [public_jwk("EdDSA", number) for number in range(3)]
    issuer = Issuer(ISSUER, audience=AUDIENCE, jwks={"keys": keys})
    assert check(issuer, sign("EdDSA", private_key("EdDSA", 2)))
    rejected(issuer, sign("EdDSA", private_key("EdDSA", 3)), "wrong signature")


def test_a_wrong_signature_is_rejected_with_its_kid() -> None:
    """The error carries issuer and key id as evidence."""
    token = sign(key=SECRET[::-1], kid="k9")
    with pytest.raises(TokenRejected, match="wrong signature") as caught:
        check(secret_issuer(), token)
    assert (caught.value.issuer, caught.value.kid) == (ISSUER, "k9")


@pytest.mark.parametrize("aud", ["Billing", "billing ", ["other"], "billin", ""])
def test_another_audience_is_rejected(aud: Any) -> None:
    """A token for somebody else is not for us, and names match exactly."""
    rejected(secret_issuer(), sign(aud=aud), "another audience")


@pytest.mark.parametrize("aud", ["a", "b", ["x", "b"], ["a", "b"]])
def test_one_audience_in_common_is_enough(aud: Any) -> None:
    """Both sides may name several."""
    assert check(secret_issuer(audience=["a", "b"]), sign(aud=aud))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_of_the_future_is_rejected(name: str) -> None:
    """`nbf` and `iat` may be ahead of us by the leeway and no more."""
    assert check(secret_issuer(), sign(**{name: NOW + 30}))
    rejected(secret_issuer(), sign(**{name: NOW + 31}), "not valid yet")


def test_an_expired_token_is_told_apart() -> None:
    """A token ends with `exp` and the leeway, to the second."""
    assert check(secret_issuer(), sign(exp=NOW - 29))
    for exp in (NOW - 30, NOW - 31, 0):
        with pytest.raises(TokenExpired, match="has expired") as caught:
            check(secret_issuer(), sign(exp=exp, kid="k"))
        assert (caught.value.issuer, caught.value.kid) == (ISSUER, "k")


def test_without_leeway_the_second_counts() -> None:
    """A leeway of nothing is nothing."""
    issuer = secret_issuer(leeway=0)
    assert check(issuer, sign(exp=NOW + 1, nbf=NOW, iat=NOW))
    rejected(issuer, sign(nbf=NOW + 1), "not valid yet")
    with pytest.raises(TokenExpired):
        check(issuer, sign(exp=NOW))
