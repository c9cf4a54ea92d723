"""Who is acting, in threads, tasks and greenlets."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import greenlet
import pytest
from asgiref.sync import async_to_sync, sync_to_async

from jwtrole.context import UNSET, acting, acting_as, current_identity
from jwtrole.identity import Identity

ALICE = Identity("member", {"sub": "alice"})
BOB = Identity("member", {"sub": "bob"})


def test_nobody_acts_at_first() -> None:
    """Outside any block nothing has been said, which is not the same as nobody."""
    assert current_identity() is None
    assert acting() is UNSET


def test_a_block_acts_and_ends() -> None:
    """The identity is in force inside the block alone."""
    with acting_as(ALICE):
        assert current_identity() is ALICE
        assert acting() is ALICE
    assert acting() is UNSET


def test_acting_as_nobody_is_said() -> None:
    """None means nobody, and hides who acted before."""
    with acting_as(ALICE), acting_as(None):
        assert current_identity() is None
        assert acting() is None


def test_blocks_nest() -> None:
    """The inner identity ends and the outer one acts again."""
    with acting_as(ALICE):
        with acting_as(BOB):
            assert current_identity() is BOB
        assert current_identity() is ALICE


def test_an_exception_ends_the_block() -> None:
    """Whoever acted before acts again after an error, and the error goes on."""
    with pytest.raises(ZeroDivisionError), acting_as(ALICE):
        _ = 1 / 0
    assert acting() is UNSET


def test_a_block_is_not_entered_twice_at_once() -> None:
    """An instance in use refuses a second entry and keeps what is in force."""
    block = acting_as(ALICE)
    with block:
        with pytest.raises(RuntimeError, match="already entered"):
            block.__enter__()
        assert current_identity() is ALICE
    assert acting() is UNSET


def test_a_block_may_be_entered_again() -> None:
    """After it has been left, an instance works anew."""
    block = acting_as(ALICE)
    for _ in range(2):
        with block:
            assert current_identity() is ALICE
        assert acting() is UNSET


def test_leaving_what_was_not_entered_changes_nothing() -> None:
    """An exit without an entry does no harm."""
    with acting_as(ALICE):
        acting_as(BOB).__exit__(None, None, None)
        assert current_identity() is ALICE


def test_leaving_elsewhere_is_an_error() -> None:
    """A block left in another context gives that context nobody's identity."""
    block = acting_as(ALICE)
    contextvars.copy_context().run(block.__enter__)
    with acting_as(BOB):
        with pytest.raises(ValueError, match="different Context"):
            block.__exit__(None, None, None)
        assert current_identity() is BOB


def test_a_thread_starts_as_nobody() -> None:
    """A new thread does not inherit who is acting."""
    found = []
    with acting_as(ALICE):
        thread = threading.Thread(target=lambda: found.append(acting()))
        thread.start()
        thread.join()
    assert found == [UNSET]


def test_threads_do_not_see_each_other() -> None:
    """Two threads act as two identities at the same time."""
    both = threading.Barrier(2, timeout=5)

    def act(who: Identity) -> bool:
        with acting_as(who):
            both.wait()
            seen = current_identity() is who
            both.wait()
            return seen and current_identity() is who

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(act, [ALICE, BOB])) == [True, True]


def test_tasks_do_not_see_each_other() -> None:
    """Two asyncio tasks act as two identities, switching at each await."""

    async def act(who: Identity) -> bool:
        async with acting_as(who):
            for _ in range(5):
                await asyncio.sleep(0)
                if current_identity() is not who:
                    return False
        return acting() is UNSET

    async def both() -> list[bool]:
        return await asyncio.gather(act(ALICE), act(BOB))

    assert asyncio.run(both()) == [True, True]


def test_a_task_inherits_and_keeps_to_itself() -> None:
    """A child task acts as its parent until it says otherwise, for itself alone."""

    async def child() -> Identity | None:
        inherited = current_identity()
        async with acting_as(BOB):
            await asyncio.sleep(0)
        return inherited

    async def parent() -> None:
        async with acting_as(ALICE):
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            assert current_identity() is ALICE
            assert await task is ALICE
            assert current_identity() is ALICE

    asyncio.run(parent())


def test_to_thread_takes_the_identity_along() -> None:
    """asyncio.to_thread runs as whoever awaits it."""

    async def main() -> Identity | None:
        async with acting_as(ALICE):
            return await asyncio.to_thread(current_identity)

    assert asyncio.run(main()) is ALICE


def test_sync_to_async_takes_the_identity_along() -> None:
    """Threads of asgiref act as the task that awaits them."""

    async def main() -> Identity | None:
        async with acting_as(ALICE):
            return await sync_to_async(current_identity)()

    assert asyncio.run(main()) is ALICE


def test_sync_to_async_gives_the_identity_back() -> None:
    """A block inside asgiref's thread ends there."""

    def inside() -> Identity | None:
        with acting_as(BOB):
            return current_identity()

    async def main() -> tuple[Identity | None, Identity | None]:
        async with acting_as(ALICE):
            return await sync_to_async(inside)(), current_identity()

    assert asyncio.run(main()) == (BOB, ALICE)


def test_async_to_sync_takes_the_identity_along() -> None:
    """A coroutine run by asgiref acts as its caller."""

    async def inside() -> Identity | None:
        await asyncio.sleep(0)
        return current_identity()

    with acting_as(ALICE):
        assert async_to_sync(inside)() is ALICE


def test_an_async_exception_ends_the_block() -> None:
    """The asynchronous form ends with an error as the plain one does."""

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with acting_as(ALICE):
                _ = 1 / 0
        assert acting() is UNSET

    asyncio.run(main())


def test_greenlets_do_not_see_each_other() -> None:
    """Each greenlet acts for itself, whoever switches to it."""

    def act(who: Identity) -> bool:
        with acting_as(who):
            greenlet.getcurrent().parent.switch()
            return current_identity() is who

    with acting_as(ALICE):
        one, two = greenlet.greenlet(act), greenlet.greenlet(act)
        one.switch(BOB)
        two.switch(ALICE)
        assert current_identity() is ALICE
        assert one.switch() is True
        assert two.switch() is True
        assert current_identity() is ALICE


def test_a_greenlet_starts_as_nobody() -> None:
    """A new greenlet inherits only a context that it is given."""
    with acting_as(ALICE):
        assert greenlet.greenlet(acting).switch() is UNSET
        given = greenlet.greenlet(acting)
        given.gr_context = contextvars.copy_context()
        assert given.switch() is ALICE
