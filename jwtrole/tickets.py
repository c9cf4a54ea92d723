"""The tickets one database has handed out: what a token need not be verified for twice.

A ticket is worth no more than the token it came from and never leaves the process.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwtrole.identity import Identity

__all__ = ["Tickets"]

# A ticket that ends within these seconds could end on its way.
_MARGIN = 2.0


class Tickets:
    """Remember the tickets of one database, a bounded number of them.

    Safe to share between threads and tasks.

    Args:
        size: How many are kept; the one used longest ago goes first.
    """

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def get(self, identity: Identity) -> str | None:
        """Return the ticket of an identity's token, unless it is about to end."""
        with self._lock:
            found = self._found.get(_digest(identity))
            if found is None or found[1] - time.time() < _MARGIN:
                return None
            self._found.move_to_end(_digest(identity))
            return found[0]

    def keep(self, identity: Identity, ticket: str, expires: float) -> None:
        """Remember a ticket until it ends, at ``expires`` seconds since the epoch."""
        with self._lock:
            self._found[_digest(identity)] = (ticket, expires)
            self._found.move_to_end(_digest(identity))
            if len(self._found) > self._size:
                self._found.popitem(last=False)

    def forget(self, identity: Identity) -> None:
        """Forget a ticket that the database refused."""
        with self._lock:
            self._found.pop(_digest(identity), None)

    def __repr__(self) -> str:
        return f"<Tickets {len(self._found)} of {self._size}>"


def _digest(identity: Identity) -> bytes:
    return hashlib.sha256((identity.token or "").encode()).digest()
