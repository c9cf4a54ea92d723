"""Keys published at a URL, by a real server, under a clock of our own."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from jwtrole.errors import ConfigurationError, KeysUnavailable
from jwtrole.jwks import RemoteKeys
from tests.jwtrole.jwks_server import JWKSServer, serving
from tests.jwtrole.making import ISSUER, SECRET, part, public_jwk

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = public_jwk("EdDSA", 0, kid="old")
NEW = public_jwk("EdDSA", 1, kid="new")


class Clock:
    """Stand still until told otherwise, and know which threads have looked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.threads: set[int] = set()

    def __call__(self) -> float:
        """Return the time."""
        self.threads.add(threading.get_ident())
        return self.now

    def wait_for(self, count: int) -> None:
        """Wait until so many threads have looked."""
        until = time.monotonic() + 5
        while len(self.threads) < count:
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.fixture
def server() -> Iterator[JWKSServer]:
    """Return a server that publishes the old key."""
    with serving(OLD) as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    """Return a clock of this test's own."""
    return Clock()


@pytest.fixture
def keys(server: JWKSServer, clock: Clock) -> RemoteKeys:
    """Return the keys of that server."""
    return make(server, clock)


def make(server: JWKSServer, clock: Clock, **settings: Any) -> RemoteKeys:
    """Return the keys of a server."""
    found = {"issuer": ISSUER, "algorithms": ("EdDSA",), "clock": clock}
    return RemoteKeys(server.url, **{**found, **settings})


def kids(keys: RemoteKeys, kid: str | None = None) -> list[str | None]:
    """Return the ids of the keys that are found."""
    return [key.kid for key in keys.find(kid, "EdDSA")]


def unavailable(keys: RemoteKeys, match: str = "cannot be had") -> KeysUnavailable:
    """Return the error of keys that cannot be had."""
    with pytest.raises(KeysUnavailable, match=match) as caught:
        keys.find("old", "EdDSA")
    return caught.value


def test_nothing_is_fetched_before_it_is_needed(
    keys: RemoteKeys, server: JWKSServer
) -> None:
    """Making an issuer waits for nobody."""
    assert server.count == 0
    assert not keys.ready()
    assert keys.generation == 0


def test_keys_are_fetched_once(keys: RemoteKeys, server: JWKSServer) -> None:
    """The first token fetches the keys, later ones find them."""
    assert kids(keys, "old") == ["old"]
    assert kids(keys, "old") == ["old"]
    assert kids(keys) == ["old"]
    assert server.count == 1
    assert keys.ready()


def test_keys_are_fetched_again_in_time(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """After 300 seconds a withdrawn key is gone and a new one there."""
    kids(keys, "old")
    server.publish(NEW)
    clock.now += 299
    assert kids(keys, "old") == ["old"]
    assert server.count == 1
    clock.now += 1
    assert not keys.ready()
    assert kids(keys, "new") == ["new"]
    assert server.count == 2
    assert kids(keys, "old") == []


def test_an_unknown_kid_fetches_at_once(keys: RemoteKeys, server: JWKSServer) -> None:
    """A key that came since is found with the first token that names it."""
    kids(keys, "old")
    server.publish(OLD, NEW)
    assert kids(keys, "new") == ["new"]
    assert server.count == 2


def test_a_missing_algorithm_fetches_at_once(server: JWKSServer, clock: Clock) -> None:
    """A token without a kid, of an algorithm without a key, does the same."""
    keys = make(server, clock, algorithms=("EdDSA", "ES256"))
    kids(keys, "old")
    server.publish(OLD, public_jwk("ES256"))
    assert len(keys.find(None, "ES256")) == 1


def test_the_fetch_for_an_unknown_kid_is_not_repeated_for_itself(
    keys: RemoteKeys, server: JWKSServer
) -> None:
    """Where the keys have only just been fetched, an unknown kid is unknown."""
    assert kids(keys, "nobody") == []
    assert server.count == 1


def test_a_storm_of_unknown_kids_is_one_fetch(
    keys: RemoteKeys, server: JWKSServer
) -> None:
    """Anybody can name keys: naming many costs the issuer one request."""
    kids(keys, "old")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: kids(keys, f"kid{n}"), range(80)))
    assert found == [[]] * 80
    assert server.count == 2


def test_an_unknown_kid_may_fetch_again_later(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """The cool-down of 30 seconds ends."""
    kids(keys, "old")
    kids(keys, "new")
    clock.now += 29
    assert kids(keys, "new") == []
    assert server.count == 2
    clock.now += 1
    server.publish(NEW)
    assert kids(keys, "new") == ["new"]
    assert server.count == 3


def test_an_outage_is_bridged(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """While the issuer is out, the old keys serve until their lifetime ends."""
    kids(keys, "old")
    server.status = 500
    clock.now += 3599
    assert kids(keys, "old") == ["old"]
    clock.now += 1
    error = unavailable(keys, "cannot be had from http://127.0.0.1")
    assert error.issuer == ISSUER
    assert 1 <= error.retry_after <= 30
    assert not keys.ready()


def test_an_outage_is_asked_after_now_and_then(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """During an outage there is one attempt in 30 seconds, by kid or by age."""
    kids(keys, "old")
    server.status = 500
    clock.now += 300
    for _ in range(5):
        assert kids(keys, "old") == ["old"]
        assert kids(keys, "new") == []
        assert keys.ready()
    assert server.count == 2
    clock.now += 30
    assert not keys.ready()
    assert kids(keys, "old") == ["old"]
    assert server.count == 3


def test_an_outage_ends(keys: RemoteKeys, server: JWKSServer, clock: Clock) -> None:
    """After the outage the keys are the published ones again."""
    kids(keys, "old")
    server.status = 500
    clock.now += 3600
    unavailable(keys)
    server.status = 200
    server.publish(NEW)
    clock.now += 30
    assert kids(keys, "new") == ["new"]
    assert keys.ready()


def test_a_first_fetch_that_fails_is_unavailable(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """Without any keys there is no answer, and no second attempt at once."""
    server.status = 503
    assert unavailable(keys, "status 503").retry_after == 30
    clock.now += 10
    assert unavailable(keys, "the last attempt failed").retry_after == 20
    assert server.count == 1
    server.status = 200
    clock.now += 20
    assert kids(keys, "old") == ["old"]


def test_a_redirect_is_not_followed(keys: RemoteKeys, server: JWKSServer) -> None:
    """An issuer that redirects is an issuer that is out."""
    server.status = 302
    server.headers = {"location": server.url}
    unavailable(keys, "redirects are not followed")
    assert server.count == 1


def test_a_slow_answer_is_given_up(server: JWKSServer, clock: Clock) -> None:
    """An answer that trickles in is none."""
    server.drip = 0.05
    unavailable(make(server, clock, timeout=0.2), "within 0.2 seconds")


def test_the_time_limit_is_five_seconds(keys: RemoteKeys) -> None:
    """One fetch takes at most five seconds unless told otherwise."""
    assert keys._timeout == 5


def test_a_large_answer_is_given_up(keys: RemoteKeys, server: JWKSServer) -> None:
    """An answer over 256 KiB is none."""
    server.body = b" " * (256 * 1024) + server.body
    unavailable(keys, "over 262144 bytes")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"keys": [], "keys": []}',
        b'{"keys": [NaN]}',
        b'{"keys": ' + b"[" * 9999 + b"]" * 9999 + b"}",
    ],
)
def test_what_is_no_json_is_given_up(
    keys: RemoteKeys, server: JWKSServer, body: bytes
) -> None:
    """An answer is read as strictly as a token."""
    server.body = body
    unavailable(keys, "the answer holds")


@pytest.mark.parametrize("body", [b"{}", b'{"keys": {}}', b'{"keys": null}'])
def test_what_is_no_set_is_given_up(
    keys: RemoteKeys, server: JWKSServer, body: bytes
) -> None:
    """JSON without an array of keys is no answer."""
    server.body = body
    unavailable(keys, "no JWK set")


def test_a_host_that_cannot_exist_is_unavailable(clock: Clock) -> None:
    """A name that not even DNS can hold is an outage, not a crash."""
    uri = f"https://{'x' * 70}.invalid/"
    keys = RemoteKeys(uri, issuer=ISSUER, algorithms=("EdDSA",), clock=clock)
    unavailable(keys, "cannot be had")


def test_a_bad_url_is_refused_at_once(clock: Clock) -> None:
    """A URL keys may not come from is an error of the configuration."""
    with pytest.raises(ConfigurationError, match="https"):
        RemoteKeys("http://id.example.com/", issuer=ISSUER, algorithms=("EdDSA",))


def test_keys_that_do_not_fit_are_never_used(
    keys: RemoteKeys, server: JWKSServer
) -> None:
    """Private keys, secrets and keys of other algorithms are left out."""
    server.publish(
        {**OLD, "kid": "private", "d": OLD["x"]},
        {"kty": "oct", "kid": "secret", "k": part(SECRET)},
        public_jwk("ES256", kid="other"),
        7,
        NEW,
    )
    assert kids(keys) == ["new"]
    for kid in ("private", "secret", "other"):
        assert kids(keys, kid) == []


def test_an_issuer_may_withdraw_all_keys(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """An empty set is an answer: from then on no token is good."""
    kids(keys, "old")
    server.publish()
    clock.now += 300
    assert kids(keys, "old") == []


def test_the_generation_changes_with_the_keys(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """Fetching the same keys, in any order, is no change; other keys are one."""
    server.publish(OLD, NEW)
    kids(keys, "old")
    first = keys.generation
    server.publish(NEW, OLD)
    clock.now += 300
    kids(keys, "old")
    assert keys.generation == first
    server.publish(NEW)
    clock.now += 300
    kids(keys, "new")
    assert keys.generation != first
    assert server.count == 3


def test_the_first_keys_are_fetched_by_one_thread(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """Threads that start together wait for one fetch and share its keys."""
    server.hold = True
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(kids, keys, "old") for _ in range(8)]
        assert server.arrived.wait(5)
        clock.wait_for(8)
        server.release.set()
        assert [future.result(5) for future in found] == [["old"]] * 8
    assert server.count == 1


def test_while_one_thread_fetches_others_use_the_old_keys(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """Keys that have grown old serve while new ones are on their way."""
    kids(keys, "old")
    clock.now += 300
    server.hold = True
    server.arrived.clear()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(kids, keys, "old")
        assert server.arrived.wait(5)
        assert kids(keys, "old") == ["old"]
        assert not fetching.done()
        server.release.set()
        assert fetching.result(5) == ["old"]
    assert server.count == 2


def test_an_unknown_kid_waits_for_the_fetch_under_way(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """A second token with the new key waits, and needs no fetch of its own."""
    kids(keys, "old")
    clock.threads.clear()
    server.publish(NEW)
    server.hold = True
    server.arrived.clear()
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(kids, keys, "new")
        assert server.arrived.wait(5)
        two = pool.submit(kids, keys, "new")
        clock.wait_for(2)
        server.release.set()
        assert one.result(5) == two.result(5) == ["new"]
    assert server.count == 2


def test_an_unknown_kid_waits_for_any_fetch_under_way(
    keys: RemoteKeys, server: JWKSServer, clock: Clock
) -> None:
    """Keys that are being fetched for their age are looked into first."""
    kids(keys, "old")
    server.publish(NEW)
    clock.now += 300
    clock.threads.clear()
    server.hold = True
    server.arrived.clear()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(kids, keys, "old")
        assert server.arrived.wait(5)
        unknown = pool.submit(kids, keys, "nobody")
        clock.wait_for(2)
        server.release.set()
        assert unknown.result(5) == []
    assert server.count == 2


def test_an_outage_is_logged_without_keys(
    keys: RemoteKeys, server: JWKSServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever runs the application learns of it before the lifetime ends."""
    server.status = 500
    with caplog.at_level(logging.WARNING, "jwtrole"):
        unavailable(keys)
    assert "not fetched: status 500" in caplog.text
    assert OLD["x"] not in caplog.text


def test_an_error_chains_nothing(keys: RemoteKeys, server: JWKSServer) -> None:
    """What the server sent is in no message, cause or context."""
    server.body = b'{"hunter2": nope}'
    error = unavailable(keys)
    assert "hunter2" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
