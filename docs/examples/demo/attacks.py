"""Injected SQL: a search field whose text ends up in the query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from people import TENANTS

from jwtrole import acting_as

if TYPE_CHECKING:
    from types import ModuleType

    from people import Person

    from jwtrole import JWTRole

#: Where other libraries look: a policy on a plain setting guards this copy.
ELSEWHERE = "shop_elsewhere"
OURS = "shop_invoice"


def injections(person: Person) -> dict[str, str]:
    """Return what is typed into the field, by what it tries."""
    tenant = str(TENANTS[person.other])
    claims = json.dumps({"tenant_id": tenant, "role": "manager"})
    settings = (
        f"SELECT set_config('app.tenant_id', '{tenant}', true)"
        f", set_config('request.jwt.claims', '{claims}', true)"
        f", set_config('jwtrole.claims', '{claims}', true)"
    )
    return {
        "other claims": f"'; {settings}; --",
        "a stronger role": f"'; SET LOCAL ROLE manager; {settings}; --",
        "no role at all": f"'; RESET ROLE; {settings}; --",
    }


def tried(orm: ModuleType, auth: JWTRole, person: Person) -> list[tuple[str, str, str]]:
    """Inject, search again in the same transaction, and return what that shows.

    Returns:
        What was tried, what the copy shows then, and what our table shows.
    """
    return [
        (what, *(_searched(orm, auth, person, text, t) for t in (ELSEWHERE, OURS)))
        for what, text in injections(person).items()
    ]


def _searched(
    orm: ModuleType, auth: JWTRole, person: Person, text: str, table: str
) -> str:
    with acting_as(auth.verify(person.token)), orm.invoices(keep=False) as invoices:
        # What another library would have done when the request began.
        invoices.set("app.tenant_id", str(TENANTS[person.tenant]))
        try:
            invoices.search(text, table)
            found = invoices.search("", table)
        except orm.ERRORS as error:
            return "refused: " + str(error).splitlines()[0].rpartition(") ")[2]
        return ", ".join(found) or "0 rows"
