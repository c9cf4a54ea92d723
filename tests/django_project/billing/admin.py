from __future__ import annotations

from django.contrib import admin

from tests.django_project.billing.models import Invoice

admin.site.register(Invoice)
