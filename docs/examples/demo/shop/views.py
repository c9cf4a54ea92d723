"""A view that asks nobody who they are."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from shop.models import Invoice


def invoices(_request: HttpRequest) -> JsonResponse:
    """Answer with the numbers of all invoices, that is: of the caller's."""
    numbers = Invoice.objects.order_by("number").values_list("number", flat=True)
    return JsonResponse({"invoices": list(numbers)})
