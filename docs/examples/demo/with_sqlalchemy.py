"""The same table through SQLAlchemy: nothing in it names a tenant or a role."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from people import ISSUER
from sqlalchemy import create_engine, delete, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from jwtrole import JWTRole
from sqlalchemy_jwtrole import attach
from sqlalchemy_jwtrole.models import TenantMixin

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "SQLAlchemy"
ERRORS = DBAPIError

auth = JWTRole(issuers=[ISSUER.issuer], roles=["member", "manager"], role_claim="role")
engine = attach(create_engine("postgresql+psycopg://shop_login@/shop"), auth)


class Base(DeclarativeBase):
    """Be the base of the mapped classes."""


class Invoice(TenantMixin, Base):
    """Be the table that Django has made."""

    __tablename__ = "shop_invoice"
    __jwtrole_to__ = ("member", "manager")

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    number: Mapped[str]


class Invoices:
    """Be the invoices, whosever they are.

    Args:
        session: The session to work in.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def numbers(self) -> list[str]:
        """Return the numbers of all of them."""
        return list(
            self.session.scalars(select(Invoice.number).order_by(Invoice.number))
        )

    def set(self, name: str, value: str) -> None:
        """Set a setting for the rest of the transaction."""
        self.session.execute(select(func.set_config(name, value, True)))  # noqa: FBT003

    def search(self, text: str, table: str) -> list[str]:
        """Return the numbers that begin with a text: as nobody should write it."""
        query = f"SELECT number FROM {table} WHERE number LIKE '{text}%' ORDER BY 1"
        found = self.session.connection().exec_driver_sql(
            query, execution_options={"no_parameters": True}
        )
        return list(found.scalars())

    def add(self, number: str, tenant: UUID | None = None) -> int:
        """Add one; without a tenant the database fills in the caller's."""
        given = {} if tenant is None else {"tenant_id": tenant}
        self.session.add(Invoice(number=number, **given))
        self.session.flush()
        return 1

    def rename(self, old: str, new: str) -> int:
        """Rename by number and return how many were found."""
        found = update(Invoice).where(Invoice.number == old).returning(Invoice.id)
        return len(self.session.scalars(found.values(number=new)).all())

    def delete(self, number: str) -> int:
        """Delete by number and return how many were found."""
        found = delete(Invoice).where(Invoice.number == number).returning(Invoice.id)
        return len(self.session.scalars(found).all())


@contextmanager
def invoices(*, keep: bool) -> Iterator[Invoices]:
    """Open a transaction and commit it, or undo everything."""
    with Session(engine) as session:
        yield Invoices(session)
        if keep:
            session.commit()


def close() -> None:
    """Give back every connection."""
    engine.dispose()
