"""Keys bound to algorithms, and looked up by kid and algorithm."""

from __future__ import annotations

from typing import Any

import pytest

from jwtrole.errors import ConfigurationError, TokenRejected
from jwtrole.keys import (
    ALGORITHMS,
    check_algorithms,
    keys_of_jwks,
    keys_of_key,
    keys_of_secret,
    usable_keys,
)
from jwtrole.strict import decode_part
from tests.jwtrole.making import (
    ASYMMETRIC,
    SECRET,
    part,
    private_key,
    public_jwk,
    public_pem,
    sign,
)


def verifies(found: Any, token: str, alg: str) -> bool:
    """Say whether a key made the token's signature."""
    signed, _, _ = token.rpartition(".")
    return found.verifies(alg, signed.encode(), _signature(token))


def _signature(token: str) -> bytes:
    return decode_part(token.rpartition(".")[2])


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_each_algorithm_verifies(algorithm: str) -> None:
    """A key verifies what its private half signed, and nothing that was changed."""
    key = keys_of_key(public_jwk(algorithm), (algorithm,)).keys[0]
    assert verifies(key, sign(algorithm), algorithm)
    assert not verifies(key, sign(algorithm, private_key(algorithm, 1)), algorithm)
    assert not key.verifies(algorithm, b"other", _signature(sign(algorithm)))
    assert not key.verifies(algorithm, b"other", b"")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_each_secret_algorithm_verifies(algorithm: str) -> None:
    """A secret verifies what it signed, and nothing else."""
    key = keys_of_secret(SECRET, (algorithm,)).keys[0]
    assert verifies(key, sign(algorithm), algorithm)
    assert not verifies(key, sign(algorithm, SECRET[::-1]), algorithm)


def test_a_key_verifies_only_what_it_is_bound_to() -> None:
    """A signature of another algorithm with the same key is none."""
    key = keys_of_key(public_jwk("RS256", alg="RS256"), ("RS256", "PS256")).keys[0]
    assert key.algorithms == ("RS256",)
    assert not verifies(key, sign("PS256"), "PS256")


def test_a_key_without_alg_is_bound_by_its_kind() -> None:
    """Without an `alg` a key serves those of the issuer's algorithms that fit it."""
    found = keys_of_jwks(
        {"keys": [public_jwk("RS256"), public_jwk("ES384"), public_jwk("EdDSA")]},
        ("RS256", "PS512", "ES384", "EdDSA"),
    )
    assert [key.algorithms for key in found.keys] == [
        ("RS256", "PS512"),
        ("ES384",),
        ("EdDSA",),
    ]


@pytest.mark.parametrize(
    ("algorithm", "wrong"),
    [
        ("ES256", "ES384"),
        ("ES256", "ES512"),
        ("ES384", "ES256"),
        ("ES512", "ES256"),
        ("EdDSA", "ES256"),
        ("RS256", "EdDSA"),
        ("ES256", "RS256"),
    ],
)
def test_a_key_of_another_curve_is_refused(algorithm: str, wrong: str) -> None:
    """Each ES algorithm takes the one curve of its own."""
    with pytest.raises(ConfigurationError, match="fits none of the issuer's"):
        keys_of_key(public_jwk(algorithm), (wrong,))
    with pytest.raises(ConfigurationError, match="fits none of the issuer's"):
        keys_of_key(public_pem(private_key(algorithm)), (wrong,))


def test_an_alg_that_does_not_fit_the_key_is_refused() -> None:
    """A JWK that contradicts itself is no key."""
    with pytest.raises(ConfigurationError, match="RSA with alg ES256"):
        keys_of_key(public_jwk("RS256", alg="ES256"), ("RS256", "ES256"))


def test_an_alg_outside_the_issuers_list_is_refused() -> None:
    """The issuer's list decides, not the key."""
    with pytest.raises(ConfigurationError, match="fits none"):
        keys_of_key(public_jwk("RS256", alg="RS512"), ("RS256",))


@pytest.mark.parametrize("algorithms", [["HS256", "RS256"], ["ES256", "HS512"]])
def test_secrets_and_public_keys_do_not_mix(algorithms: list[str]) -> None:
    """One issuer cannot have both families: the HS/RS confusion has no place."""
    with pytest.raises(ConfigurationError, match="anybody could sign"):
        check_algorithms(algorithms)


def test_secrets_and_public_keys_do_not_mix_in_a_set() -> None:
    """The same holds where the algorithms are derived from the keys."""
    secret = {"kty": "oct", "k": part(SECRET), "alg": "HS256"}
    with pytest.raises(ConfigurationError, match="anybody could sign"):
        keys_of_jwks({"keys": [public_jwk("ES256"), secret]}, None)


@pytest.mark.parametrize(
    "algorithms",
    [[], ["none"], ["RS256", "none"], ["ES256K"], "RS256", ["rs256"], [None], [["x"]]],
)
def test_unknown_algorithms_are_refused(algorithms: Any) -> None:
    """`none`, an unknown one, no one, and a string in place of a list."""
    with pytest.raises(ConfigurationError, match="algorithms is a list of"):
        check_algorithms(algorithms)


def test_algorithms_are_named_once() -> None:
    """Naming one twice changes nothing."""
    assert check_algorithms(["RS256", "PS256", "RS256"]) == ("RS256", "PS256")
    assert len(ALGORITHMS) == 13
    assert "none" not in ALGORITHMS


@pytest.mark.parametrize(
    ("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)]
)
def test_a_secret_shorter_than_the_hash_is_refused(algorithm: str, least: int) -> None:
    """A secret has at least the bytes of the hash (RFC 7518, section 3.2)."""
    assert keys_of_secret(SECRET[:least], (algorithm,)).keys
    for short in (SECRET[: least - 1], b""):
        with pytest.raises(ConfigurationError, match=f"needs {least}|certificate"):
            keys_of_secret(short, (algorithm,))


def test_a_secret_is_long_enough_for_each_algorithm() -> None:
    """The longest hash decides."""
    with pytest.raises(ConfigurationError, match="needs 64"):
        keys_of_secret(SECRET[:32], ("HS256", "HS512"))


def test_a_short_secret_as_jwk_is_refused() -> None:
    """A secret in a JWK is measured as well."""
    with pytest.raises(ConfigurationError, match="has 31 bytes"):
        keys_of_key({"kty": "oct", "k": part(SECRET[:31])}, ("HS256",))


def test_a_secret_fits_no_asymmetric_algorithm() -> None:
    """A secret cannot be configured where public keys are due."""
    with pytest.raises(ConfigurationError, match="fits none"):
        keys_of_secret(SECRET, ("RS256",))


def test_a_public_key_fits_no_secret_algorithm() -> None:
    """A public key cannot be configured where a secret is due."""
    with pytest.raises(ConfigurationError, match="fits none"):
        keys_of_key(public_pem(private_key("RS256")), ("HS256",))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA"])
def test_the_one_fitting_algorithm_is_derived(algorithm: str) -> None:
    """A key with one fitting algorithm needs no list."""
    assert keys_of_key(public_jwk(algorithm), None).algorithms == (algorithm,)
    pem = public_pem(private_key(algorithm))
    assert keys_of_key(pem, None).algorithms == (algorithm,)


def test_a_keys_own_alg_is_derived() -> None:
    """A JWK that says its algorithm needs no list either."""
    keys = [public_jwk("PS384", alg="PS384"), public_jwk("ES256")]
    assert keys_of_jwks({"keys": keys}, None).algorithms == ("PS384", "ES256")


def test_several_fitting_algorithms_are_not_guessed() -> None:
    """Where several would fit they must be named."""
    with pytest.raises(ConfigurationError, match="fits RS256, RS384"):
        keys_of_key(public_jwk("RS256"), None)
    with pytest.raises(ConfigurationError, match="fits HS256, HS384, HS512"):
        keys_of_secret(SECRET, None)


@pytest.mark.parametrize("jwks", [{}, {"keys": {}}, {"keys": None}, [], None, "x"])
def test_what_is_no_set_is_refused(jwks: Any) -> None:
    """A JWK set is an object with an array of keys."""
    with pytest.raises(ConfigurationError, match="A JWK set is"):
        keys_of_jwks(jwks, ("RS256",))
    with pytest.raises(ConfigurationError, match="A JWK set is"):
        usable_keys(jwks, ("RS256",))


def test_an_empty_set_is_refused() -> None:
    """A configured set without keys could verify nothing."""
    with pytest.raises(ConfigurationError, match="holds no key"):
        keys_of_jwks({"keys": []}, ("RS256",))


def test_each_configured_key_is_usable() -> None:
    """One bad key in a configured set is an error, not left out."""
    keys = [public_jwk("ES256"), public_jwk("RS256", use="enc")]
    with pytest.raises(ConfigurationError, match="'use'"):
        keys_of_jwks({"keys": keys}, ("ES256", "RS256"))


def test_fetched_keys_that_do_not_fit_are_left_out() -> None:
    """Of a fetched set only public keys of the issuer's algorithms are used."""
    keys = [
        public_jwk("RS256", kid="enc", use="enc"),
        {**public_jwk("RS256", kid="private"), "d": "AQAB"},
        {"kty": "oct", "kid": "secret", "k": part(SECRET)},
        public_jwk("ES256", kid="other"),
        "nonsense",
        public_jwk("RS256", kid="good"),
    ]
    found = usable_keys({"keys": keys}, ("RS256",))
    assert [key.kid for key in found.keys] == ["good"]


def test_the_order_of_fetched_keys_does_not_matter() -> None:
    """The same keys in another order are the same keys; others are not."""
    one, two = public_jwk("EdDSA", kid="1"), public_jwk("EdDSA", 1, kid="2")
    alg = ("EdDSA",)
    assert usable_keys({"keys": [one, two]}, alg) == usable_keys(
        {"keys": [two, one]}, alg
    )
    assert usable_keys({"keys": [one]}, alg) != usable_keys({"keys": [two]}, alg)
    changed = {**one, "x": two["x"]}
    assert usable_keys({"keys": [one]}, alg) != usable_keys({"keys": [changed]}, alg)


def test_a_kid_selects_its_key_alone() -> None:
    """A token's kid must be a key's kid, with no other key to fall back on."""
    keys = [public_jwk("EdDSA", kid="1"), public_jwk("EdDSA", 1)]
    found = keys_of_jwks({"keys": keys}, None)
    assert [key.kid for key in found.find("1", "EdDSA")] == ["1"]
    assert found.find("2", "EdDSA") == ()


def test_a_kid_selects_within_its_algorithm() -> None:
    """A kid of a key for another algorithm selects nothing."""
    keys = [public_jwk("EdDSA", kid="1"), public_jwk("ES256", kid="2")]
    assert keys_of_jwks({"keys": keys}, None).find("2", "EdDSA") == ()


def test_without_a_kid_every_key_of_the_algorithm_is_tried() -> None:
    """A token without a kid may be signed with any key of its algorithm."""
    keys = [public_jwk("EdDSA", kid="1"), public_jwk("EdDSA", 1), public_jwk("ES256")]
    found = keys_of_jwks({"keys": keys}, None)
    assert [key.kid for key in found.find(None, "EdDSA")] == ["1", None]


def test_not_too_many_keys_are_tried() -> None:
    """A token without a kid cannot make us verify with keys without end."""
    keys = [public_jwk("EdDSA", kid=str(number)) for number in range(9)]
    found = keys_of_jwks({"keys": keys}, None)
    assert len(keys_of_jwks({"keys": keys[:8]}, None).find(None, "EdDSA")) == 8
    assert len(found.find("3", "EdDSA")) == 1
    with pytest.raises(TokenRejected, match="at most 8 are tried"):
        found.find(None, "EdDSA")


@pytest.mark.parametrize("kid", [None, "anything"])
def test_a_key_alone_without_an_id_serves_any_kid(kid: str | None) -> None:
    """Where one key is configured and has no id there is nothing to select."""
    pem = public_pem(private_key("EdDSA"))
    assert keys_of_key(pem, None).find(kid, "EdDSA")
    assert keys_of_key(public_jwk("EdDSA"), None).find(kid, "EdDSA")
    assert keys_of_secret(SECRET, ("HS256",)).find(kid, "HS256")


def test_a_key_alone_with_an_id_serves_that_kid() -> None:
    """A configured JWK with a kid is selected by it."""
    found = keys_of_key(public_jwk("EdDSA", kid="1"), None)
    assert found.find("1", "EdDSA")
    assert found.find(None, "EdDSA")
    assert not found.find("2", "EdDSA")


def test_keys_at_hand_do_not_change() -> None:
    """Configured keys have one generation and nothing to wait for."""
    found = keys_of_secret(SECRET, ("HS256",))
    assert found.generation == 0
    assert found.ready()


def test_a_repr_holds_no_key() -> None:
    """Neither a set nor a key shows secret or public key."""
    found = keys_of_secret(SECRET, ("HS256",))
    assert repr(found.keys[0]) == "<Key kid=None algorithms=('HS256',)>"
    assert "material" not in repr(found)
    assert repr(SECRET)[2:12] not in repr(found)


@pytest.mark.parametrize("secret", ["hunter2", b"\xffhunter2"])
def test_an_error_holds_no_secret(secret: str | bytes) -> None:
    """What is wrong with a secret is said without it."""
    with pytest.raises(ConfigurationError) as caught:
        keys_of_secret(secret, ("HS256",))
    assert "hunter2" not in str(caught.value)
