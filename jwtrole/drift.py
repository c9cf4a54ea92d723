"""Compare what is declared with what the database has.

The adapters say what is declared and send the queries; what differs, and what repairs
it, is found here for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole import live
from jwtrole.canonical import spelled
from jwtrole.catalog import protected_sql
from jwtrole.declared import Declared, Expected
from jwtrole.difference import Difference, Kind
from jwtrole.errors import ConfigurationError
from jwtrole.grant_drift import differing_grants, differing_sequences
from jwtrole.policy import enable_row_security
from jwtrole.quoting import identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from jwtrole.catalog import Found
    from jwtrole.live import Ask, Live
    from jwtrole.policy import Policy

__all__ = ["differences", "expect", "find"]

_WHO = (
    "SELECT rolname::text, rolsuper FROM pg_catalog.pg_roles "
    "WHERE rolname = current_user"
)


def expect(  # noqa: PLR0913  one for each thing that holds
    ask: Ask,
    declared: Iterable[Declared],
    *,
    migrate: str,
    owner: str | None = None,
    roles: Iterable[str] = (),
    forced: bool = True,
    elsewhere: Iterable[str] = (),
) -> Expected:
    """Return what holds for every table.

    Args:
        ask: Sends a statement to the database.
        declared: What is declared; the roles in it are looked at.
        migrate: The command that makes a missing table.
        owner: Who is to own the tables; whoever asks unless given.
        roles: More roles that hold only what is declared.
        forced: Whether row security is to hold for the owner as well.
        elsewhere: Names of policies that are declared elsewhere, which are left alone.

    Raises:
        ConfigurationError: A superuser asks and does not say who owns the tables.
    """
    if owner is None:
        ((owner, is_superuser),) = ask(_WHO)
        if is_superuser:
            msg = (
                f"{owner!r} is a superuser, not the owner of the tables: look as their "
                "owner, or say who that is."
            )
            raise ConfigurationError(msg)
    named = {role for one in declared for role in one.roles}
    return Expected(
        owner=owner, roles=named.union(roles), migrate=migrate, forced=forced,
        elsewhere=frozenset(elsewhere),
    )  # fmt: skip


def find(
    ask: Ask,
    declared: Iterable[Declared],
    expected: Expected,
    *,
    is_ours: Callable[[str], bool],
) -> list[Difference]:
    """Return all that differs, the worst first.

    Args:
        ask: Sends a statement to a connection that is inside a transaction, best as
            the owner of the tables. Nothing is left changed.
        declared: What is declared.
        expected: What holds for every table.
        is_ours: Says of a table that is not declared, but has policies that jwtrole
            made, whether it should have been. Another project may have made them.
    """
    found: list[Difference] = []
    known: set[int | None] = set()
    for one in declared:
        there = live.read(ask, one.table, one.schema)
        known.add(there.oid)
        compared = [policy for policy in one.policies if policy.name in there.policies]
        found += differences(one, there, spelled(ask, compared), expected)
    found += _left_behind(ask, known, is_ours, expected)
    order = list(Kind)
    return sorted(found, key=lambda d: (order.index(d.kind), d.table, d.object))


def differences(
    declared: Declared, there: Live, spelled: Mapping[str, Policy], expected: Expected
) -> Iterator[Difference]:
    """Yield what differs on one table.

    Args:
        declared: What is declared.
        there: What the database has.
        spelled: The declared policies by name as PostgreSQL spells them, without those
            that it would not.
        expected: What holds for every table.
    """
    if not there.exists:
        yield Difference(
            kind=Kind.TABLE_MISSING,
            table=declared.name,
            declared="a table",
            repair=expected.migrate,
        )
        return
    yield from _differing_table(declared, there, expected)
    for policy in declared.policies:
        yield from _differing_policy(declared.name, policy, there, spelled)
    yield from _undeclared(declared, there, expected)
    yield from differing_grants(declared, there, expected)
    yield from differing_sequences(declared, there, expected)


def _differing_table(
    declared: Declared, there: Live, expected: Expected
) -> Iterator[Difference]:
    if there.owner != expected.owner:
        owner = identifier(expected.owner)
        yield Difference(
            kind=Kind.OWNER,
            table=declared.name,
            object=there.owner,
            declared=f"OWNER {expected.owner}",
            there=f"OWNER {there.owner}",
            repair=f"ALTER TABLE {declared.quoted} OWNER TO {owner};",
        )
    if not declared.protected:
        return
    enable, force = enable_row_security(declared.table, declared.schema)
    if not there.enabled:
        yield Difference(
            kind=Kind.ROW_SECURITY_OFF,
            table=declared.name,
            declared="ROW LEVEL SECURITY enabled",
            there="ROW LEVEL SECURITY disabled",
            repair=f"{enable};",
        )
    if expected.forced and not there.forced:
        yield Difference(
            kind=Kind.ROW_SECURITY_NOT_FORCED,
            table=declared.name,
            declared="ROW LEVEL SECURITY forced",
            there="ROW LEVEL SECURITY not forced",
            repair=f"{force};",
        )


def _differing_policy(
    table: str, policy: Policy, there: Live, spelled: Mapping[str, Policy]
) -> Iterator[Difference]:
    found = there.policies.get(policy.name)
    if found is None:
        yield Difference(
            kind=(
                Kind.PERMISSIVE_POLICY_MISSING
                if policy.permissive
                else Kind.RESTRICTIVE_POLICY_MISSING
            ),
            table=table,
            object=policy.name,
            declared=policy.definition,
            repair=_script(*policy.create()),
        )
        return
    kind, declared = _judged(policy, found, spelled.get(policy.name))
    if kind is not None:
        yield Difference(
            kind=kind,
            table=table,
            object=policy.name,
            declared=declared.definition,
            there=found.policy.definition,
            repair=_script(*policy.drop(), *policy.create()),
        )


def _judged(
    policy: Policy, found: Found, spelled: Policy | None
) -> tuple[Kind | None, Policy]:
    # The text decides: somebody who alters a policy leaves its recorded hash as it is,
    # and the same text may come out of another release of the ORM. Without a text the
    # hash can tell that the policy is another, never that it is the same.
    if spelled is not None:
        return None if found.means(spelled) else Kind.POLICY_CHANGED, spelled
    if found.was_made_from(policy) and _same_but_for_clauses(policy, found.policy):
        return Kind.POLICY_UNKNOWN, policy
    return Kind.POLICY_CHANGED, policy


def _same_but_for_clauses(one: Policy, other: Policy) -> bool:
    return (one.command, one.permissive, set(one.to)) == (
        other.command,
        other.permissive,
        set(other.to),
    )


def _undeclared(
    declared: Declared, there: Live, expected: Expected
) -> Iterator[Difference]:
    names = {policy.name for policy in declared.policies}
    for name, found in there.policies.items():
        if name in names or expected.keeps(found):
            continue
        # Of a table that declares none, those that others made are left alone.
        if declared.protected or found.is_ours:
            policy = found.policy
            yield Difference(
                kind=(
                    Kind.PERMISSIVE_POLICY_UNDECLARED
                    if policy.permissive
                    else Kind.RESTRICTIVE_POLICY_UNDECLARED
                ),
                table=declared.name,
                object=name,
                there=policy.definition,
                repair=_script(*policy.drop()),
            )


def _left_behind(
    ask: Ask,
    known: Collection[int | None],
    is_ours: Callable[[str], bool],
    expected: Expected,
) -> Iterator[Difference]:
    for oid, schema, table in ask(protected_sql()):
        if oid in known:
            continue
        there = live.read(ask, table, schema)
        protected = any(map(expected.keeps, there.policies.values()))
        found = Declared(table=table, schema=schema, protected=protected)
        if protected:
            yield from _differing_table(found, there, expected)
        if protected or is_ours(table):
            yield from _undeclared(found, there, expected)


def _script(*statements: str) -> str:
    return "".join(f"{statement};\n" for statement in statements).rstrip()
