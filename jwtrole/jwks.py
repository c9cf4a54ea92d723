"""The keys an issuer publishes at a URL: fetched, kept, renewed (RFC 7517)."""

from __future__ import annotations

import http.client
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from jwtrole.errors import ConfigurationError, KeysUnavailable
from jwtrole.fetch import check_uri, download
from jwtrole.keys import KeySet, usable_keys
from jwtrole.strict import Malformed, json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwtrole.keys import Key

__all__ = ["RemoteKeys"]

_log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    keys: KeySet
    fetched: float
    generation: int


class RemoteKeys:
    """Be the keys published at a URL.

    They are fetched when first needed, again after ``refresh_after``, and once when a
    token names a key that is not among them. One thread fetches at a time: the others
    go on with the keys at hand, or wait where these cannot serve them. When fetching
    fails the old keys serve until ``lifetime`` is over, and the next attempt is made
    after ``cooldown``.

    Args:
        uri: https, or http on this machine.
        issuer: The issuer, for messages.
        algorithms: The issuer's algorithms; keys for others are left out.
        lifetime: Seconds that keys serve without being fetched again.
        refresh_after: Seconds after which they are fetched again.
        cooldown: Least seconds from a failure to the next attempt, and between two
            fetches because of an unknown key.
        timeout: Seconds that one fetch may take in all.
        clock: Seconds that only ever grow.

    Raises:
        ConfigurationError: The URL is none that keys may come from.
    """

    def __init__(  # noqa: PLR0913  settings with defaults, by keyword only
        self,
        uri: object,
        *,
        issuer: str,
        algorithms: tuple[str, ...],
        lifetime: float = 3600,
        refresh_after: float = 300,
        cooldown: float = 30,
        timeout: float = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uri, self._local = check_uri(uri)
        self._issuer = issuer
        #: The issuer's algorithms.
        self.algorithms = algorithms
        self._lifetime = lifetime
        self._refresh_after = refresh_after
        self._cooldown = cooldown
        self._timeout = timeout
        self._clock = clock
        # Only ever one thread fetches; what it fetched is swapped in as a whole.
        self._lock = threading.Lock()
        self._kept = _Kept(KeySet((), algorithms), -math.inf, 0)
        self._failed = -math.inf
        self._renewed = -math.inf

    @property
    def generation(self) -> int:
        """Return a number that changes when the keys change."""
        return self._kept.generation

    def ready(self) -> bool:
        """Say whether the keys at hand may be used without looking for newer ones."""
        return self._settled(self._kept)

    def current(self) -> KeySet:
        """Return the keys at hand, fetched anew where they are old.

        Raises:
            KeysUnavailable: There are none, or only ones whose lifetime is over.
        """
        return self._current().keys

    def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Return the keys that a token with this header may be signed with.

        Raises:
            KeysUnavailable: There are no keys, or only ones whose lifetime is over,
                and new ones cannot be fetched.
            TokenRejected: They are more than are ever tried for one token.
        """
        before = self._kept
        kept = self._current()
        found = kept.keys.find(kid, alg)
        if not found and kept is before:
            found = self._renew(kept).keys.find(kid, alg)
        return found

    def _alive(self, kept: _Kept) -> bool:
        return self._clock() - kept.fetched < self._lifetime

    def _settled(self, kept: _Kept) -> bool:
        now = self._clock()
        young = now - kept.fetched < self._refresh_after
        return self._alive(kept) and (young or now - self._failed < self._cooldown)

    def _current(self) -> _Kept:
        kept = self._kept
        if self._settled(kept):
            return kept
        if not self._lock.acquire(blocking=not self._alive(kept)):
            return kept
        try:
            return self._refreshed()
        finally:
            self._lock.release()

    def _refreshed(self) -> _Kept:
        """Fetch, unless the thread that was waited for has done so; holds the lock."""
        if self._settled(self._kept):
            return self._kept
        wait = self._failed + self._cooldown - self._clock()
        problem = "the last attempt failed"
        if wait <= 0:
            wait = self._cooldown
            problem = self._fetch()
        if self._alive(self._kept):
            return self._kept
        retry_after = math.ceil(wait)
        msg = (
            f"The keys of {self._issuer!r} cannot be had from {self._uri}: {problem}. "
            f"The next attempt is made in {retry_after} seconds."
        )
        raise KeysUnavailable(msg, issuer=self._issuer, retry_after=retry_after)

    def _renew(self, seen: _Kept) -> _Kept:
        """Fetch because of an unknown key, which anybody can name: not too often."""
        with self._lock:
            now = self._clock()
            quiet = now - max(self._renewed, self._failed) >= self._cooldown
            if self._kept is seen and quiet:
                self._renewed = now
                self._fetch()
            return self._kept

    def _fetch(self) -> str:
        """Swap in new keys, or return the problem; holds the lock."""
        started = self._clock()
        try:
            data = download(self._uri, self._timeout, local=self._local)
            keys = usable_keys(json_object(data), self.algorithms)
        except TimeoutError:
            problem = f"no whole answer within {self._timeout} seconds"
        except Malformed as wrong:
            problem = f"the answer {wrong}"
        except (OSError, http.client.HTTPException, ValueError) as wrong:
            problem = str(getattr(wrong, "reason", wrong)) or type(wrong).__name__
        except ConfigurationError:
            problem = "the answer is no JWK set (RFC 7517, section 5)"
        else:
            old = self._kept
            self._kept = _Kept(keys, started, old.generation + (keys != old.keys))
            return ""
        self._failed = self._clock()
        _log.warning("Keys of %r not fetched: %s", self._issuer, problem)
        return problem
