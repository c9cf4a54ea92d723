"""From a token to an identity."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwtrole.errors import (
    ConfigurationError,
    JWTRoleError,
    KeysUnavailable,
    RoleDenied,
    TokenError,
    TokenExpired,
    TokenRejected,
    UnknownIssuer,
)
from jwtrole.identity import Identity
from jwtrole.strict import decode_part
from jwtrole.tokens import Issuer, JWTRole
from tests.jwtrole.jwks_server import serving
from tests.jwtrole.making import (
    ASYMMETRIC,
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    by_hand,
    claims,
    make_auth,
    part,
    private_key,
    public_jwk,
    public_pem,
    secret_issuer,
    sign,
    with_claims,
    with_header,
)


class Clock:
    """Stand still until told otherwise, and count the looks."""

    def __init__(self, now: float = NOW) -> None:
        self.now = float(now)

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def key_issuer(algorithm: str, number: int = 0, **settings: Any) -> Issuer:
    """Return an issuer with one public key."""
    found = {"audience": AUDIENCE, "algorithms": [algorithm]}
    name = settings.pop("issuer", ISSUER)
    return Issuer(name, key=public_jwk(algorithm, number), **{**found, **settings})


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_token_becomes_an_identity(algorithm: str) -> None:
    """Role, claims, issuer, end and token of a good token are the identity's."""
    token = sign(algorithm, tenant_id=7)
    who = make_auth(key_issuer(algorithm)).verify(token)
    assert who == Identity("member", claims(tenant_id=7), issuer=ISSUER)
    assert (who.role, who.issuer, who.subject) == ("member", ISSUER, "alice")
    assert who.expires == NOW + 630
    assert who.token == token
    assert who.claims["tenant_id"] == 7


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_of_a_secret_becomes_an_identity(algorithm: str) -> None:
    """Shared secrets work with each hash."""
    issuer = secret_issuer(algorithms=[algorithm])
    assert make_auth(issuer).verify(sign(algorithm)).subject == "alice"


def test_the_claims_are_those_of_the_strict_reading() -> None:
    """Numbers keep every digit, and objects are frozen."""
    who = make_auth().verify(with_claims(big=2**70, nested={"a": [1]}))
    assert who.claims["big"] == 2**70
    assert who.claims["nested"]["a"] == (1,)


def test_several_issuers_each_verify_their_own() -> None:
    """A token is checked with the keys of the issuer it names."""
    other = "https://other.test/"
    auth = make_auth(key_issuer("EdDSA"), key_issuer("EdDSA", 1, issuer=other))
    assert auth.verify(sign("EdDSA")).issuer == ISSUER
    signed = sign("EdDSA", private_key("EdDSA", 1), iss=other)
    assert auth.verify(signed).issuer == other


def test_a_key_of_one_issuer_signs_for_no_other() -> None:
    """An issuer cannot issue tokens in another's name."""
    auth = make_auth(
        key_issuer("EdDSA"), key_issuer("EdDSA", 1, issuer="https://other.test/")
    )
    with pytest.raises(TokenRejected, match="wrong signature"):
        auth.verify(sign("EdDSA", private_key("EdDSA", 1)))


@pytest.mark.parametrize(
    "issuer", ["https://issuer.test", "https://issuer.test/ ", "HTTPS://issuer.test/"]
)
def test_an_unknown_issuer_is_refused(issuer: str) -> None:
    """A name matches exactly, and what the token named is not repeated."""
    with pytest.raises(UnknownIssuer) as caught:
        make_auth().verify(sign(iss=issuer, kid="k1"))
    assert issuer not in str(caught.value)
    assert (caught.value.issuer, caught.value.kid) == (None, "k1")


def test_alg_none_is_refused() -> None:
    """A token that says it needs no signature is refused, with one and without."""
    unsigned = jwt.encode(claims(), None, algorithm="none")
    with pytest.raises(TokenRejected, match="three parts"):
        make_auth().verify(unsigned)
    for alg in ("none", "None", "NONE", ""):
        with pytest.raises(TokenRejected, match="issuer's algorithms"):
            make_auth().verify(with_header(alg=alg))


@pytest.mark.parametrize("alg", ["HS384", "RS256", "ES256K", "hs256", "HS256 ", "dir"])
def test_an_algorithm_outside_the_list_is_refused(alg: str) -> None:
    """Only the issuer's algorithms count, whatever the signature."""
    with pytest.raises(TokenRejected, match="issuer's algorithms"):
        make_auth().verify(with_header(alg=alg))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_is_no_secret(algorithm: str) -> None:
    """HS/RS confusion: a token signed with the public key as a secret is refused."""
    auth = make_auth(key_issuer(algorithm))
    signed = f"{part({'alg': 'HS256'})}.{part(claims())}"
    pem = public_pem(private_key(algorithm))
    for secret in (pem, pem.strip(), pem.decode().replace("\n", "").encode()):
        mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
        with pytest.raises(TokenRejected, match="issuer's algorithms"):
            auth.verify(f"{signed}.{part(mac)}")


def test_a_signature_is_needed() -> None:
    """Another secret, a cut, an extended and a foreign signature are refused."""
    auth = make_auth()
    head, _, text = sign().rpartition(".")
    signature = decode_part(text)
    for odd in (signature[:-1], signature + b"\0", bytes(32), b"\0"):
        with pytest.raises(TokenRejected, match="wrong signature"):
            auth.verify(f"{head}.{part(odd)}")
    with pytest.raises(TokenRejected, match="wrong signature"):
        auth.verify(f"{head}.{sign(sub='bob').rpartition('.')[2]}")


def test_the_payload_cannot_be_swapped() -> None:
    """Other claims under a signature of these are refused."""
    header, _, signature = sign().split(".")
    with pytest.raises(TokenRejected, match="wrong signature"):
        make_auth().verify(f"{header}.{part(claims(role='manager'))}.{signature}")


def test_a_rightly_signed_but_malformed_token_is_refused() -> None:
    """The strict reading comes before any signature."""
    auth = make_auth()
    assert auth.verify(by_hand())
    for odd in (
        by_hand(b'{"alg":"HS256","alg":"HS256"}'),
        with_header(crit=["exp"]),
        with_header(jwk=public_jwk("EdDSA")),
        with_claims(exp=str(NOW + 600)),
        with_claims(x="a\0b"),
    ):
        with pytest.raises(TokenRejected):
            auth.verify(odd)


@pytest.mark.parametrize("token", [None, 7, b"x"])
def test_what_is_no_string_is_refused(token: Any) -> None:
    """A missing token is refused as a token."""
    auth = make_auth()
    with pytest.raises(TokenRejected, match="is a string"):
        auth.verify(token)
    with pytest.raises(TokenRejected, match="is a string"):
        asyncio.run(auth.verify_async(token))


def test_the_time_is_checked() -> None:
    """Expired, early and foreign tokens are told apart."""
    auth = make_auth()
    with pytest.raises(TokenExpired):
        auth.verify(sign(exp=NOW - 30))
    with pytest.raises(TokenRejected, match="not valid yet"):
        auth.verify(sign(nbf=NOW + 31))
    with pytest.raises(TokenRejected, match="another audience"):
        auth.verify(sign(aud="other"))


def test_a_signature_is_checked_before_time_and_role() -> None:
    """Of a forged token nothing is said but that it is forged."""
    token = sign(key=SECRET[::-1], exp=0, aud="other", role="none")
    with pytest.raises(TokenRejected, match="wrong signature"):
        make_auth().verify(token)


@pytest.mark.parametrize(
    "role",
    ["none", "pg_read_all_data", "x" * 64, "other", "", 7, True, {}, ["other"], [7]],
)
def test_a_role_outside_the_list_is_denied(role: Any) -> None:
    """A good token with another role, or with no string, is a 403 of its own kind."""
    with pytest.raises(RoleDenied) as caught:
        make_auth().verify(sign(role=role))
    assert caught.value.allowed == ("member", "manager")


def test_an_array_where_a_string_is_due_is_denied() -> None:
    """An array of arrays is no array of roles."""
    with pytest.raises(RoleDenied):
        make_auth().verify(sign(role=[["member"]]))


def test_a_missing_role_is_denied() -> None:
    """A token that names no role is nobody's, not anonymous."""
    with pytest.raises(RoleDenied):
        make_auth(anonymous="anon").verify(sign(role=None))


def test_the_role_claim_may_be_a_path() -> None:
    """The role may stand inside an object, in an array."""
    auth = make_auth(role_claim=["realm_access", "roles"])
    token = sign(role="member", realm_access={"roles": ["x", "manager"]})
    assert auth.verify(token).role == "manager"


def test_an_error_chains_nothing() -> None:
    """No refusal holds a claim, and none drags another exception along."""
    auth = make_auth()
    for token in (
        with_claims(sub="hunter2", exp="hunter2"),
        sign(sub="hunter2", exp=0),
        sign(sub="hunter2", aud="hunter2"),
        sign(sub="hunter2", role="hunter2"),
        sign(sub="hunter2", iss="hunter2"),
        sign(key=SECRET[::-1], sub="hunter2"),
    ):
        with pytest.raises(JWTRoleError) as caught:
            auth.verify(token)
        assert "hunter2" not in str(caught.value)
        assert token not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_what_is_trusted_can_be_read() -> None:
    """The settings are there for adapters and for whoever looks."""
    issuer = secret_issuer()
    auth = JWTRole(
        issuers=(issuer,),
        roles={"User": "member", "Admin": "manager"},
        role_claim=["a", "b"],
        anonymous="anon",
        app_name="billing",
        trust="application",
    )
    assert auth.issuers == (issuer,)
    assert auth.roles == ("member", "manager")
    assert auth.role_map.path == ("a", "b")
    assert auth.anonymous == Identity("anon")
    assert auth.trust == "application"
    assert auth.app_name == "billing"


def test_the_defaults() -> None:
    """The database verifies; no anonymous role, the claim `role`, our own name."""
    auth = make_auth()
    assert auth.trust == "database"
    assert auth.anonymous is None
    assert auth.role_map.path == ("role",)
    assert auth.app_name == "jwtrole"


def test_a_repr_holds_no_key() -> None:
    """What reaches a log by accident names issuers and roles alone."""
    text = "<JWTRole issuers=https://issuer.test/ roles=member, manager>"
    assert repr(make_auth()) == text


@pytest.mark.parametrize("anonymous", ["none", "pg_monitor", "", "x" * 64, 7])
def test_the_anonymous_role_is_an_ordinary_one(anonymous: Any) -> None:
    """No reserved name becomes the role without a token."""
    with pytest.raises(ConfigurationError):
        make_auth(anonymous=anonymous)


@pytest.mark.parametrize("trust", ["owner", "", None])
def test_an_unknown_trust_is_refused(trust: Any) -> None:
    """The error names the allowed values."""
    with pytest.raises(ConfigurationError, match="one of database"):
        make_auth(trust=trust)


def test_the_database_calls_no_callable() -> None:
    """A role read by a callable is for the application mode alone."""
    with pytest.raises(ConfigurationError, match="callable"):
        JWTRole(
            [
                Issuer(
                    "https://id.test/",
                    audience="a",
                    secret="s" * 32,
                    algorithms=["HS256"],
                )
            ],
            roles=["member"],
            role_claim=lambda claims: claims["role"],
            trust="database",
        )


@pytest.mark.parametrize("name", ["", None, 7])
def test_an_application_has_a_name(name: Any) -> None:
    """The name is a non-empty string."""
    with pytest.raises(ConfigurationError, match="app_name"):
        make_auth(app_name=name)


@pytest.mark.parametrize("size", [-1, 1.5, None, True, "10"])
def test_a_cache_has_a_size(size: Any) -> None:
    """The size is a number of tokens."""
    with pytest.raises(ConfigurationError, match="cache_size"):
        make_auth(cache_size=size)


@pytest.mark.parametrize("issuers", [None, "x", {}, [None], ["https://issuer.test/"]])
def test_issuers_are_issuers(issuers: Any) -> None:
    """Names alone are no issuers."""
    with pytest.raises(ConfigurationError, match="issuers is a list of Issuer"):
        JWTRole(issuers, ["member"])


def test_one_issuer_is_a_list_of_one() -> None:
    """An issuer in place of the list is told so."""
    with pytest.raises(ConfigurationError, match="not Issuer"):
        JWTRole(secret_issuer(), ["member"])  # type: ignore[arg-type]


def test_no_issuers_is_an_error() -> None:
    """Nobody could ever be verified."""
    with pytest.raises(ConfigurationError, match="names none"):
        JWTRole([], ["member"])


def test_two_issuers_of_one_name_are_refused() -> None:
    """It would be open whose keys count."""
    with pytest.raises(ConfigurationError, match="one twice"):
        make_auth(secret_issuer(), key_issuer("EdDSA"))


def test_a_verified_token_is_remembered() -> None:
    """The second time the same identity is answered from memory."""
    auth = make_auth()
    token = sign()
    assert auth.verify(token) is auth.verify(token)


def test_a_token_is_remembered_as_a_whole() -> None:
    """A token that differs in one character is another token."""
    auth = make_auth()
    token = sign()
    auth.verify(token)
    with pytest.raises(TokenError):
        auth.verify(token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB"))


def test_a_remembered_token_expires() -> None:
    """`exp` and the leeway are checked each time."""
    clock = Clock()
    auth = make_auth(clock=clock)
    token = sign(exp=NOW + 10)
    who = auth.verify(token)
    clock.now = NOW + 39
    assert auth.verify(token) is who
    clock.now = NOW + 40
    with pytest.raises(TokenExpired):
        auth.verify(token)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_remembered_token_may_be_too_early(name: str) -> None:
    """A clock that is set back makes a remembered token wait again."""
    clock = Clock()
    auth = make_auth(clock=clock)
    token = sign(**{name: NOW})
    auth.verify(token)
    clock.now = NOW - 31
    with pytest.raises(TokenRejected, match="not valid yet"):
        auth.verify(token)


def test_the_oldest_token_is_forgotten() -> None:
    """The cache is bounded, and what is used stays."""
    auth = make_auth(cache_size=2)
    tokens = [sign(sub=name) for name in "abc"]
    first, second = auth.verify(tokens[0]), auth.verify(tokens[1])
    assert auth.verify(tokens[0]) is first
    auth.verify(tokens[2])
    assert auth.verify(tokens[0]) is first
    assert auth.verify(tokens[1]) is not second


def test_a_cache_of_nothing_remembers_nothing() -> None:
    """A size of 0 verifies each time."""
    auth = make_auth(cache_size=0)
    token = sign()
    assert auth.verify(token) is not auth.verify(token)


def test_a_refusal_is_not_remembered() -> None:
    """A token that is too early is good when its time comes."""
    clock = Clock()
    auth = make_auth(clock=clock)
    token = sign(nbf=NOW + 100)
    with pytest.raises(TokenRejected):
        auth.verify(token)
    clock.now = NOW + 100
    assert auth.verify(token).role == "member"


def remote(url: str, clock: Clock) -> Issuer:
    """Return an issuer that publishes its keys."""
    return Issuer(
        ISSUER, audience=AUDIENCE, jwks_uri=url, algorithms=["EdDSA"], clock=clock
    )


def test_a_withdrawn_key_ends_its_tokens() -> None:
    """A remembered token is forgotten when the keys change, at the next refresh."""
    clock = Clock()
    with serving(public_jwk("EdDSA", kid="1")) as server:
        auth = make_auth(remote(server.url, clock))
        token = sign("EdDSA", kid="1")
        auth.verify(token)
        who = auth.verify(token)
        assert auth.verify(token) is who
        server.publish(public_jwk("EdDSA", 1, kid="2"))
        clock.now += 300
        with pytest.raises(TokenRejected, match="a key that the issuer does not have"):
            auth.verify(token)


def test_a_changed_key_empties_the_memory() -> None:
    """Any issuer's new keys forget every token, and good ones are verified anew."""
    clock = Clock()
    with serving(public_jwk("EdDSA", kid="1")) as server:
        other = key_issuer("ES256", issuer="https://other.test/")
        auth = make_auth(remote(server.url, clock), other)
        auth.verify(sign("EdDSA", kid="1"))
        token = sign("ES256", iss="https://other.test/")
        who = auth.verify(token)
        assert auth.verify(token) is who
        server.publish(public_jwk("EdDSA", 1, kid="2"))
        new = sign("EdDSA", private_key("EdDSA", 1), kid="2")
        assert auth.verify(new).issuer == ISSUER
        again = auth.verify(token)
        assert again == who
        assert again is not who


def test_keys_that_change_meanwhile_are_noticed() -> None:
    """What was verified with keys that have just changed is not remembered."""
    clock = Clock()
    with serving(public_jwk("EdDSA", kid="1")) as server:
        issuer = remote(server.url, clock)
        reached, go_on = threading.Event(), threading.Event()

        def slow(claims: Any) -> object:
            if claims["sub"] == "slow":
                reached.set()
                go_on.wait(5)
            return claims["role"]

        auth = make_auth(issuer, role_claim=slow, trust="application")
        auth.verify(sign("EdDSA", kid="1"))
        token = sign("EdDSA", kid="1", sub="slow")
        with ThreadPoolExecutor(1) as pool:
            verifying = pool.submit(auth.verify, token)
            assert reached.wait(5)
            server.publish(public_jwk("EdDSA", 1, kid="2"))
            auth.verify(sign("EdDSA", private_key("EdDSA", 1), kid="2"))
            auth.verify(sign("EdDSA", private_key("EdDSA", 1), kid="2"))
            go_on.set()
            assert verifying.result(5).subject == "slow"
        with pytest.raises(TokenRejected, match="does not have"):
            auth.verify(token)


def test_an_outage_beyond_the_lifetime_ends_remembered_tokens() -> None:
    """Memory does not outlive the keys it was verified with."""
    clock = Clock()
    with serving(public_jwk("EdDSA", kid="1")) as server:
        auth = make_auth(remote(server.url, clock), clock=lambda: float(NOW))
        token = sign("EdDSA", kid="1")
        auth.verify(token)
        server.status = 500
        clock.now += 3599
        assert auth.verify(token).role == "member"
        clock.now += 1
        with pytest.raises(KeysUnavailable):
            auth.verify(token)


def test_during_an_outage_memory_serves() -> None:
    """While no attempt is due a remembered token costs neither fetch nor signature."""
    clock = Clock()
    with serving(public_jwk("EdDSA", kid="1")) as server:
        auth = make_auth(remote(server.url, clock), clock=lambda: float(NOW))
        token = sign("EdDSA", kid="1")
        auth.verify(token)
        server.status = 500
        clock.now += 300
        who = auth.verify(token)
        assert auth.verify(token) is who
        assert server.count == 2


def test_verifying_asynchronously() -> None:
    """The same identity, from memory the second time."""
    auth = make_auth()
    token = sign()

    async def twice() -> tuple[Identity, Identity]:
        return await auth.verify_async(token), await auth.verify_async(token)

    first, second = asyncio.run(twice())
    assert first is second
    assert first.subject == "alice"


def test_an_asynchronous_refusal_is_the_same() -> None:
    """Errors come through the thread as they are."""
    with pytest.raises(TokenExpired):
        asyncio.run(make_auth().verify_async(sign(exp=0)))


def test_the_event_loop_goes_on_while_keys_are_fetched() -> None:
    """A slow issuer holds up one request, not the whole server."""
    clock = Clock()
    with serving(public_jwk("EdDSA", kid="1")) as server:
        server.hold = True
        auth = make_auth(remote(server.url, clock))
        token = sign("EdDSA", kid="1")

        async def main() -> Identity:
            verifying = asyncio.create_task(auth.verify_async(token))
            assert await asyncio.to_thread(server.arrived.wait, 5)
            assert not verifying.done()
            server.release.set()
            return await verifying

        assert asyncio.run(main()).subject == "alice"


def test_a_remembered_token_needs_no_thread() -> None:
    """An answer from memory comes without leaving the event loop's thread."""
    threads: list[int] = []

    def clock() -> float:
        threads.append(threading.get_ident())
        return float(NOW)

    auth = make_auth(clock=clock)
    token = sign()

    async def main() -> None:
        await auth.verify_async(token)
        threads.clear()
        await auth.verify_async(token)

    asyncio.run(main())
    assert threads == [threading.get_ident()]


def test_threads_share_one_verifier() -> None:
    """Many threads and tokens at once get each their own identity."""
    auth = make_auth(cache_size=5)
    tokens = {str(n): sign(sub=str(n)) for n in range(20)}

    def subject(name: str) -> bool:
        return auth.verify(tokens[name]).subject == name

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(subject, [str(n % 20) for n in range(400)]))


PRINTABLE = "".join(map(chr, range(32, 127)))
MUTATED = {
    "HS256": (make_auth(), sign(kid="k")),
    **{
        name: (make_auth(key_issuer(name)), sign(name, kid="k"))
        for name in ("RS256", "PS256", "ES256", "EdDSA")
    },
}


@pytest.mark.parametrize("algorithm", MUTATED)
@settings(max_examples=150, deadline=None, database=None)
@given(data=st.data())
def test_no_changed_character_passes(algorithm: str, data: st.DataObject) -> None:
    """Any one character of a good token, changed to any other, is refused."""
    auth, token = MUTATED[algorithm]
    assert auth.verify(token).subject == "alice"
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(PRINTABLE.replace(token[place], "")))
    with pytest.raises(TokenError):
        auth.verify(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("algorithm", MUTATED)
@settings(max_examples=50, deadline=None, database=None)
@given(data=st.data())
def test_no_added_or_missing_character_passes(
    algorithm: str, data: st.DataObject
) -> None:
    """A good token with a character more or less anywhere is refused."""
    auth, token = MUTATED[algorithm]
    place = data.draw(st.integers(0, len(token) - 1))
    more = data.draw(st.sampled_from(PRINTABLE))
    for odd in (
        token[:place] + more + token[place:],
        token[:place] + token[place + 1 :],
    ):
        with pytest.raises(TokenError):
            auth.verify(odd)


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(alphabet=st.characters(), max_size=200))
def test_no_text_at_all_raises_another_error(text: str) -> None:
    """Whatever is sent as a token, the answer is one of our refusals."""
    with pytest.raises(TokenError):
        make_auth().verify(text)


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=60), st.binary(max_size=200))
def test_no_signed_bytes_raise_another_error(header: bytes, payload: bytes) -> None:
    """Nor does anything that is rightly signed."""
    for token in (by_hand(header, payload), by_hand(payload=payload)):
        with pytest.raises(TokenError):
            make_auth().verify(token)
