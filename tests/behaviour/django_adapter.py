"""The behaviour specification through Django, sync and async."""

# ruff: noqa: D102  the protocol documents what each method does

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from jwtrole.context import acting_as
from tests.behaviour.adapter import Outside
from tests.django_project.aliases import forget, migrate, register

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole
    from tests import postgres
    from tests.behaviour.adapter import Who

_T = TypeVar("_T")


def _who(who: Who) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if isinstance(who, Outside) else acting_as(who)


class _Broken(Exception):
    pass


class DjangoAdapter:
    """Do it through Django's ORM."""

    name = "django"

    @staticmethod
    def make_tables(server: postgres.Server, database: str) -> None:
        migrate(server, database)

    def __init__(
        self, server: postgres.Server, database: str, auth: JWTRole, **given: Any
    ) -> None:
        # The models need the application registry, which pytest-django fills late.
        from tests.django_project.billing.models import Invoice

        self.auth = auth
        self.alias = register(server, database, auth, **given)
        self._objects = Invoice.objects.using(self.alias)

    @property
    def _connection(self) -> Any:
        return connections[self.alias]

    def _atomic(self) -> contextlib.AbstractContextManager[None]:
        return transaction.atomic(using=self.alias)

    def _read(self) -> list[str]:
        return sorted(self._objects.values_list("number", flat=True))

    def numbers(self, who: Who) -> list[str]:
        with _who(who):
            return self._read()

    def add(self, who: Who, number: str, tenant: UUID | None = None) -> None:
        given = {} if tenant is None else {"tenant_id": tenant}
        with _who(who):
            self._objects.create(number=number, **given)

    def rename(self, who: Who, old: str, new: str) -> int:
        with _who(who):
            return self._objects.filter(number=old).update(number=new)

    def remove(self, who: Who, number: str) -> int:
        with _who(who):
            return self._objects.filter(number=number).delete()[0]

    def _run(self, *statements: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def sql(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        with _who(who), self._atomic():
            return self._run(*statements)

    def sql_rolled_back(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        with _who(who), self._atomic():
            found = self._run(*statements)
            transaction.set_rollback(True, using=self.alias)
            return found

    def _fail(self) -> None:
        with contextlib.suppress(Exception), self._atomic():
            self._run("SELECT 1 / 0")

    def savepoint_rolled_back(self, who: Who) -> list[str]:
        with _who(who), self._atomic():
            self._read()
            self._fail()
            return self._read()

    def savepoint_first(self, who: Who) -> list[str]:
        with _who(who), self._atomic():
            with contextlib.suppress(_Broken), self._atomic():
                raise _Broken
            return self._read()

    def after_error(self, who: Who) -> list[str]:
        with _who(who):
            self._fail()
            return self._read()

    def after_commit(self, who: Who) -> list[str]:
        with _who(who):
            with self._atomic():
                self._read()
            return self._read()

    def stream(self, who: Who) -> list[str]:
        with _who(who):
            rows = self._objects.values_list("number", flat=True)
            return sorted(rows.iterator(chunk_size=1))

    def change_inside(self, first: Identity, second: Identity) -> list[str]:
        with self._atomic():
            self.numbers(first)
            return self.numbers(second)

    def alternate(self, whos: Sequence[Identity]) -> list[list[str]]:
        return [self.numbers(who) for who in whos]

    def concurrently(self, whos: Sequence[Identity]) -> list[list[str]]:
        def read(who: Identity) -> list[str]:
            try:
                return self.numbers(who)
            finally:
                self._connection.close()

        with ThreadPoolExecutor(len(whos)) as pool:
            return list(pool.map(read, whos))

    def unhooked(self, statement: str) -> list[tuple[Any, ...]]:
        self._connection.ensure_connection()
        with psycopg.Cursor(self._connection.connection) as cursor:
            return cursor.execute(statement.encode()).fetchall()

    def sqlstate(self, error: BaseException) -> str | None:
        seen: BaseException | None = error
        while seen is not None:
            if state := getattr(seen, "sqlstate", None):
                return str(state)
            seen = seen.__cause__
        return None

    def close(self) -> None:
        forget(self.alias)


class DjangoAsyncAdapter(DjangoAdapter):
    """Do it through Django's asynchronous ORM, each call in its own event loop."""

    name = "django-async"

    def _await(self, awaitable: Awaitable[_T]) -> _T:
        async def run() -> _T:
            return await awaitable

        return asyncio.run(run())

    def _in_thread(self, function: Callable[..., _T], *args: Any) -> _T:
        # Django itself has no asynchronous transactions; this is its documented way.
        return self._await(sync_to_async(function)(*args))

    async def _aread(self, who: Who) -> list[str]:
        with _who(who):
            rows = self._objects.values_list("number", flat=True)
            return sorted([number async for number in rows])

    def numbers(self, who: Who) -> list[str]:
        return self._await(self._aread(who))

    def add(self, who: Who, number: str, tenant: UUID | None = None) -> None:
        async def add() -> None:
            given = {} if tenant is None else {"tenant_id": tenant}
            async with _async_who(who):
                await self._objects.acreate(number=number, **given)

        self._await(add())

    def rename(self, who: Who, old: str, new: str) -> int:
        async def rename() -> int:
            async with _async_who(who):
                return await self._objects.filter(number=old).aupdate(number=new)

        return self._await(rename())

    def remove(self, who: Who, number: str) -> int:
        async def remove() -> int:
            async with _async_who(who):
                return (await self._objects.filter(number=number).adelete())[0]

        return self._await(remove())

    def stream(self, who: Who) -> list[str]:
        async def stream() -> list[str]:
            async with _async_who(who):
                rows = self._objects.values_list("number", flat=True)
                return sorted([n async for n in rows.aiterator(chunk_size=1)])

        return self._await(stream())

    def sql(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        return self._in_thread(super().sql, who, *statements)

    def sql_rolled_back(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        return self._in_thread(super().sql_rolled_back, who, *statements)

    def savepoint_rolled_back(self, who: Who) -> list[str]:
        return self._in_thread(super().savepoint_rolled_back, who)

    def savepoint_first(self, who: Who) -> list[str]:
        return self._in_thread(super().savepoint_first, who)

    def after_error(self, who: Who) -> list[str]:
        return self._in_thread(super().after_error, who)

    def after_commit(self, who: Who) -> list[str]:
        return self._in_thread(super().after_commit, who)

    def change_inside(self, first: Identity, second: Identity) -> list[str]:
        def change() -> list[str]:
            with self._atomic():
                with acting_as(first):
                    self._read()
                with acting_as(second):
                    return self._read()

        return self._in_thread(change)

    def alternate(self, whos: Sequence[Identity]) -> list[list[str]]:
        async def alternate() -> list[list[str]]:
            return [await self._aread(who) for who in whos]

        return self._await(alternate())

    def concurrently(self, whos: Sequence[Identity]) -> list[list[str]]:
        async def concurrently() -> list[list[str]]:
            return await asyncio.gather(*(self._aread(who) for who in whos))

        return self._await(concurrently())

    def unhooked(self, statement: str) -> list[tuple[Any, ...]]:
        return self._in_thread(super().unhooked, statement)

    def close(self) -> None:
        self._in_thread(self._connection_close)
        super().close()

    def _connection_close(self) -> None:
        self._connection.close()


def _async_who(who: Who) -> contextlib.AbstractAsyncContextManager[Any]:
    return contextlib.nullcontext() if isinstance(who, Outside) else acting_as(who)
