"""The one URL."""

from __future__ import annotations

from django.urls import path

from shop.views import invoices

urlpatterns = [path("invoices/", invoices)]
