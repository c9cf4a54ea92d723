"""What revisions do to the schema ``jwtrole``, and when autogenerate writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alembic.operations import Operations

from jwtrole import install
from jwtrole.quoting import literal
from sqlalchemy_jwtrole import create
from sqlalchemy_jwtrole.alembic.operation import Arguments, Operation
from sqlalchemy_jwtrole.alembic.wanted import WANTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.operations import MigrateOperation
    from sqlalchemy import Connection

    from jwtrole.install import Release

__all__ = [
    "ChangeJWTRole",
    "GrantLogin",
    "InstallJWTRole",
    "RevokeLogin",
    "UninstallJWTRole",
    "changes",
    "is_ours",
]


class _OnSchema(Operation):
    item: install.Release

    def arguments(self) -> Arguments:
        """Return the version."""
        return (self.item.version,), {}

    def needs(self) -> Sequence[str]:
        """Return the role that owns the schema."""
        return (install.OWNER_ROLE,)


@Operations.register_operation("install_jwtrole")
class InstallJWTRole(_OnSchema):
    """Install a released version of the schema ``jwtrole``."""

    verb = "install_jwtrole"
    statements = "up"

    @classmethod
    def install_jwtrole(cls, operations: Operations, version: int) -> None:
        """Install the functions that policies call.

        Raises:
            ConfigurationError: The role that is to own them is missing, or there is no
                such version.
        """
        operations.invoke(cls(install.release(version)))


@Operations.register_operation("uninstall_jwtrole")
class UninstallJWTRole(_OnSchema):
    """Remove a released version of the schema ``jwtrole``."""

    verb = "uninstall_jwtrole"
    statements = "down"

    @classmethod
    def uninstall_jwtrole(cls, operations: Operations, version: int) -> None:
        """Remove the functions that policies call; fails while any is in use."""
        operations.invoke(cls(install.release(version)))


class _Change(NamedTuple):
    """Be the way from one version to another."""

    installed: int
    wanted: int

    def run(self) -> Sequence[str]:
        """Return its statements."""
        return install.change(*self)


@Operations.register_operation("change_jwtrole")
class ChangeJWTRole(Operation):
    """Turn one version of the schema ``jwtrole`` into another, policies in place."""

    verb = "change_jwtrole"
    statements = "run"
    item: _Change

    @classmethod
    def change_jwtrole(
        cls, operations: Operations, installed: int, wanted: int
    ) -> None:
        """Turn the version that is there into the one that is to be there.

        Raises:
            ConfigurationError: There is no such version.
        """
        operations.invoke(cls(_Change(installed, wanted)))

    def arguments(self) -> Arguments:
        """Return both versions."""
        return tuple(self.item), {}

    def needs(self) -> Sequence[str]:
        """Return the role that owns the schema."""
        return (install.OWNER_ROLE,)

    def reverse(self) -> Operation:
        """Return the way back."""
        return ChangeJWTRole(_Change(self.item.wanted, self.item.installed))


class _Entry(NamedTuple):
    """Be the right of a login to ask a version of the schema who is acting."""

    login: str
    version: int

    def grant(self) -> Sequence[str]:
        """Return the statements that give it."""
        return install.release(self.version).grants(self.login)

    def revoke(self) -> Sequence[str]:
        """Return the statements that take it away."""
        return install.release(self.version).revokes(self.login)


class _OnLogin(Operation):
    item: _Entry

    def arguments(self) -> Arguments:
        """Return the login, and of which version."""
        return (self.item.login,), {"version": self.item.version}

    def needs(self) -> Sequence[str]:
        """Return the login."""
        return (self.item.login,)

    def logins(self) -> Sequence[str]:
        """Return the login."""
        return (self.item.login,)


@Operations.register_operation("grant_login")
class GrantLogin(_OnLogin):
    """Let a login ask the database to verify tokens."""

    verb = "grant_login"
    statements = "grant"

    @classmethod
    def grant_login(cls, operations: Operations, login: str, *, version: int) -> None:
        """Let a login call the entry points of a version of the schema.

        Raises:
            ConfigurationError: The login is missing, or there is no such version.
        """
        operations.invoke(cls(_Entry(login, version)))


@Operations.register_operation("revoke_login")
class RevokeLogin(_OnLogin):
    """Take from a login what lets it ask the database to verify tokens."""

    verb = "revoke_login"
    statements = "revoke"

    @classmethod
    def revoke_login(cls, operations: Operations, login: str, *, version: int) -> None:
        """Keep a login from calling the entry points of a version of the schema."""
        operations.invoke(cls(_Entry(login, version)))


InstallJWTRole.opposite, UninstallJWTRole.opposite = UninstallJWTRole, InstallJWTRole
GrantLogin.opposite, RevokeLogin.opposite = RevokeLogin, GrantLogin


def changes(connection: Connection) -> Iterator[Operation]:
    """Yield what makes the schema of a database the one that is wanted.

    A newer one than this release knows is left alone: it serves this one as well.
    """
    installed, wanted = create.installed_version(connection), WANTED.release
    if installed is None:
        yield InstallJWTRole(wanted)
    elif installed in install.versions() and installed != wanted.version:
        yield ChangeJWTRole(_Change(installed, wanted.version))
    for login in WANTED.logins:
        if wanted.entry_points and not _may_enter(connection, login, wanted):
            yield GrantLogin(_Entry(login, wanted.version))


def is_ours(operation: MigrateOperation) -> bool:
    """Say whether an operation of Alembic's is about a table of the schema itself."""
    return getattr(operation, "schema", None) == "jwtrole"


def _may_enter(connection: Connection, login: str, release: Release) -> bool:
    functions = ", ".join(map(literal, release.entry_points))
    sql = (
        f"SELECT count(*) FROM pg_catalog.unnest(ARRAY[{functions}]) AS f (name)"
        f" JOIN pg_catalog.pg_roles AS r ON r.rolname = {literal(login)}"
        " WHERE pg_catalog.has_function_privilege(r.oid,"
        " pg_catalog.to_regprocedure(f.name)::oid, 'EXECUTE')"
    )
    return bool(create.query(connection, sql)[0][0] == len(release.entry_points))
