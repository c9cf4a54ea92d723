from __future__ import annotations

import threading
import time

import pytest

from jwtrole.identity import Identity
from jwtrole.tickets import Tickets

LATER = time.time() + 600


def who(token: str) -> Identity:
    """Return an identity with a token."""
    return Identity("member", {"sub": "ann"}, token=token)


def test_a_ticket_is_kept_for_its_token_alone() -> None:
    """The same claims from another token have no ticket yet."""
    tickets = Tickets()

    tickets.keep(who("one"), "first", LATER)

    assert tickets.get(who("one")) == "first"
    assert tickets.get(who("two")) is None


def test_what_is_forgotten_is_gone() -> None:
    """A refused ticket is not offered again, and forgetting twice is no error."""
    tickets = Tickets()
    tickets.keep(who("one"), "first", LATER)

    tickets.forget(who("one"))
    tickets.forget(who("one"))

    assert tickets.get(who("one")) is None


@pytest.mark.parametrize(("left", "found"), [(-1, None), (1, None), (5, "first")])
def test_a_ticket_that_is_about_to_end_is_not_offered(
    left: float, found: str | None
) -> None:
    """A ticket that could end on its way is worth no attempt."""
    tickets = Tickets()

    tickets.keep(who("one"), "first", time.time() + left)

    assert tickets.get(who("one")) == found


def test_the_one_used_longest_ago_goes_first() -> None:
    """Beyond its size the memory drops what was neither read nor kept of late."""
    tickets = Tickets(size=2)
    tickets.keep(who("one"), "first", LATER)
    tickets.keep(who("two"), "second", LATER)
    tickets.get(who("one"))
    tickets.keep(who("three"), "third", LATER)
    assert tickets.get(who("two")) is None
    assert tickets.get(who("one")) == "first"

    tickets.keep(who("three"), "anew", LATER)
    tickets.keep(who("one"), "anew", LATER)
    tickets.keep(who("four"), "fourth", LATER)

    assert tickets.get(who("three")) is None
    assert tickets.get(who("one")) == "anew"


def test_its_size_is_a_bound() -> None:
    """However many tokens come, no more than so many tickets are kept."""
    tickets = Tickets(size=8)

    for number in range(100):
        tickets.keep(who(str(number)), "ticket", LATER)

    assert repr(tickets) == "<Tickets 8 of 8>"


def test_nothing_secret_is_shown() -> None:
    """Neither the memory's repr nor its keys hold a token, nor the repr a ticket."""
    tickets = Tickets()

    tickets.keep(who("a token"), "a ticket", LATER)

    assert repr(tickets) == "<Tickets 1 of 1024>"
    assert b"a token" not in b"".join(tickets._found)


def test_threads_share_it() -> None:
    """Threads that keep, read and forget at once leave it whole."""
    tickets = Tickets(size=4)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(200):
                one = who(str((number + turn) % 8))
                tickets.keep(one, "ticket", LATER)
                assert tickets.get(one) in {"ticket", None}
                tickets.forget(who(str(turn % 8)))
        except BaseException as error:  # noqa: BLE001  the thread's, for the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(tickets._found) <= 4
