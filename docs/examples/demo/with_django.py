"""The table through Django: nothing in it names a tenant or a role."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import Error, connection, connections, transaction
from shop.models import Invoice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

NAME = "Django"
ERRORS = Error


class Invoices:
    """Be the invoices, whosever they are."""

    def numbers(self) -> list[str]:
        """Return the numbers of all of them."""
        return list(Invoice.objects.order_by("number").values_list("number", flat=True))

    def set(self, name: str, value: str) -> None:
        """Set a setting for the rest of the transaction."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])

    def search(self, text: str, table: str) -> list[str]:
        """Return the numbers that begin with a text: as nobody should write it."""
        query = f"SELECT number FROM {table} WHERE number LIKE '{text}%' ORDER BY 1"
        with connection.cursor() as cursor:
            cursor.execute(query)
            return [number for (number,) in cursor.fetchall()]

    def add(self, number: str, tenant: UUID | None = None) -> int:
        """Add one; without a tenant the database fills in the caller's."""
        given = {} if tenant is None else {"tenant_id": tenant}
        Invoice.objects.create(number=number, **given)
        return 1

    def rename(self, old: str, new: str) -> int:
        """Rename by number and return how many were found."""
        return Invoice.objects.filter(number=old).update(number=new)

    def delete(self, number: str) -> int:
        """Delete by number and return how many were found."""
        return Invoice.objects.filter(number=number).delete()[0]


@contextmanager
def invoices(*, keep: bool) -> Iterator[Invoices]:
    """Open a transaction and commit it, or undo everything."""
    with transaction.atomic():
        yield Invoices()
        transaction.set_rollback(not keep)


def close() -> None:
    """Give back every connection."""
    connections.close_all()
