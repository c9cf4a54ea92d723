"""Have PostgreSQL spell declared policies, so that texts can be compared.

On a temporary copy of the table: no lock on the real one, no rows, and no right to it.
All that is tried is rolled back.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from jwtrole.catalog import found_policies, policies_sql
from jwtrole.quoting import literal, qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwtrole.live import Ask
    from jwtrole.policy import Policy

__all__ = ["TEMPORARY", "read_back", "spelled", "trial_read_sql", "trial_sql"]

#: The schema of the temporary copy.
TEMPORARY = "pg_temp"

_TRIAL = "jwtrole_trial"

#: Milliseconds that the last resort waits for the real table.
_PATIENCE = 1000


def trial_sql(copy: str, policies: Iterable[Policy]) -> str:
    """Return a statement that makes a temporary copy of a table and policies on it.

    What PostgreSQL refuses is left out, and is no error: the transaction goes on.

    Args:
        copy: An SQL expression whose value is the statement that makes the copy.
        policies: Policies of that table.
    """
    # For everybody: the roles need not exist to see how the clauses are spelled.
    trials = [
        dataclasses.replace(one, schema=TEMPORARY, to=("PUBLIC",)) for one in policies
    ]
    return _block(
        f"BEGIN EXECUTE {copy}; EXCEPTION WHEN OTHERS THEN RETURN; END;",
        *(_attempt(trial) for trial in trials),
    )


def trial_read_sql(table: str) -> str:
    """Return a query for what :func:`trial_sql` made, for :func:`read_back`."""
    return policies_sql(table, TEMPORARY)


def read_back(
    rows: Iterable[Sequence[Any]], table: str, policies: Iterable[Policy]
) -> dict[str, Policy]:
    """Return the policies by name as PostgreSQL spells them, roles and schema kept."""
    found = found_policies(rows, table)
    return {
        one.name: _as_declared(found[one.name].policy, one)
        for one in policies
        if one.name in found
    }


def spelled(ask: Ask, policies: Sequence[Policy]) -> dict[str, Policy]:
    """Return policies of one table by name as PostgreSQL spells them.

    A policy that PostgreSQL refuses on a copy, say because it hands whole rows of the
    table to a function, is tried on the table itself. That takes its owner, and for a
    moment a lock, which is not waited for longer than a second. One that is refused
    there as well is left out.

    Args:
        ask: Sends to a connection that is inside a transaction.
        policies: The policies of a table that exists.
    """
    if not policies:
        return {}
    table, schema = policies[0].table, policies[0].schema
    trial = trial_sql(_copy(table, schema), policies)
    found = read_back(_tried(ask, trial, trial_read_sql(table)), table, policies)
    for policy in policies:
        if policy.name not in found:
            found |= _on_the_table(ask, policy)
    return found


def _on_the_table(ask: Ask, policy: Policy) -> dict[str, Policy]:
    trial = dataclasses.replace(policy, name=_TRIAL, to=("PUBLIC",))
    wait = f"PERFORM pg_catalog.set_config('lock_timeout', '{_PATIENCE}', true);"
    read = policies_sql(policy.table, policy.schema)
    rows = _tried(ask, _block(wait, _attempt(trial)), read)
    found = found_policies(rows, policy.table)
    if _TRIAL not in found:
        return {}
    return {policy.name: _as_declared(found[_TRIAL].policy, policy)}


def _as_declared(spelled: Policy, policy: Policy) -> Policy:
    return dataclasses.replace(
        spelled, name=policy.name, to=policy.to, schema=policy.schema
    )


def _tried(ask: Ask, trial: str, read: str) -> Sequence[Sequence[Any]]:
    ask("SAVEPOINT jwtrole_trial")
    ask(trial)
    rows = ask(read)
    ask("ROLLBACK TO SAVEPOINT jwtrole_trial")
    ask("RELEASE SAVEPOINT jwtrole_trial")
    return rows


def _copy(table: str, schema: str | None) -> str:
    # From the catalogs, which anybody may read: LIKE takes the right to SELECT.
    live = literal(qualified(schema, table)).strip()
    head = literal(f"CREATE TABLE {qualified(TEMPORARY, table)} (").strip()
    return (
        f"(SELECT {head} || pg_catalog.string_agg(pg_catalog.quote_ident(attname) || "
        "' ' || pg_catalog.format_type(atttypid, atttypmod), ', ' ORDER BY attnum) || "
        "')' FROM pg_catalog.pg_attribute WHERE attnum > 0 AND NOT attisdropped "
        f"AND attrelid = pg_catalog.to_regclass({live}))"
    )


def _attempt(policy: Policy) -> str:
    create = literal(policy.create()[0]).strip()
    return f"BEGIN EXECUTE {create}; EXCEPTION WHEN OTHERS THEN NULL; END;"


def _block(*parts: str) -> str:
    return f"DO {literal(' '.join(('BEGIN', *parts, 'END'))).strip()}"
