"""Rows for tests, written as the owner: outside any request."""

from __future__ import annotations

import factory

from tests.django_jwtrole.conftest import ALICE, RED
from tests.django_project.billing.models import Invoice, Note


class InvoiceFactory(factory.django.DjangoModelFactory):
    class Meta:  # noqa: D106  factory-boy's
        model = Invoice

    tenant_id = RED
    number = factory.Sequence("red-{}".format)


class NoteFactory(factory.django.DjangoModelFactory):
    class Meta:  # noqa: D106  factory-boy's
        model = Note

    author = ALICE
    body = factory.Sequence("note {}".format)
