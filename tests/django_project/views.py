from __future__ import annotations

import io
from typing import TYPE_CHECKING

from django.http import FileResponse, JsonResponse, StreamingHttpResponse

from jwtrole.errors import ConfigurationError
from tests.django_project.billing.models import Invoice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest, HttpResponse


def invoices(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Invoice.objects.create(number=request.POST["number"])
    found = Invoice.objects.order_by("number").values_list("number", flat=True)
    return JsonResponse({"numbers": list(found)})


async def invoices_async(request: HttpRequest) -> HttpResponse:
    found = Invoice.objects.order_by("number").values_list("number", flat=True)
    return JsonResponse({"numbers": [number async for number in found]})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        for invoice in Invoice.objects.order_by("number").iterator(chunk_size=1):
            yield f"{invoice.number}\n"

    return StreamingHttpResponse(body())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[str]:
        async for invoice in Invoice.objects.order_by("number"):
            yield f"{invoice.number}\n"

    return StreamingHttpResponse(body())


def nothing(request: HttpRequest) -> HttpResponse:
    identity = request.jwtrole_identity  # type: ignore[attr-defined]
    return JsonResponse({"role": None if identity is None else identity.role})


def user(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.get_username()})


def broken(request: HttpRequest) -> HttpResponse:
    raise {
        "ours": ConfigurationError("The project is broken."),
        "theirs": ValueError("The view is broken."),
    }[request.GET["by"]]


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"bytes"), filename="bytes.bin")
