from __future__ import annotations

from django.contrib import admin
from django.urls import path

from tests.django_project import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("invoices/", views.invoices),
    path("invoices/async/", views.invoices_async),
    path("invoices/stream/", views.stream),
    path("invoices/stream/async/", views.stream_async),
    path("nothing/", views.nothing),
    path("user/", views.user),
    path("broken/", views.broken),
    path("file/", views.file),
]
