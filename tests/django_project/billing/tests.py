"""A user's own tests, run by Django's own runner."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import TestCase, TransactionTestCase, tag

from django_jwtrole.testing import JWTRoleTestMixin
from tests.django_project.billing.models import Invoice

TENANT, OTHER = uuid.uuid4(), uuid.uuid4()


class Rows:
    def test_a_request_sees_what_the_fixture_wrote(self) -> None:
        Invoice.objects.create(number="mine", tenant_id=TENANT)
        Invoice.objects.create(number="theirs", tenant_id=OTHER)
        client = self.client.acting_as(role="member", tenant_id=str(TENANT))
        self.assertEqual(client.get("/invoices/").json(), {"numbers": ["mine"]})
        client.acting_as(role="manager", tenant_id=str(OTHER))
        self.assertEqual(client.get("/invoices/").json(), {"numbers": ["theirs"]})
        self.assertEqual(Invoice.objects.count(), 2)

    def test_nothing_is_left_of_other_tests(self) -> None:
        self.assertEqual(Invoice.objects.count(), 0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT session_user, current_user, current_database()")
            session, current, database = cursor.fetchone()
        self.assertEqual((session, current), ("app_test", "app_owner"))
        self.assertIn("test_", database)


class InTransaction(JWTRoleTestMixin, Rows, TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.invoice = Invoice(number="unsaved", tenant_id=TENANT)


class Flushed(JWTRoleTestMixin, Rows, TransactionTestCase):
    databases = {"default"}


# Content types made anew by a flush clash with restored ones, in any project.
@tag("restored")
class Restored(JWTRoleTestMixin, Rows, TransactionTestCase):
    databases = {"default", "owner"}
    serialized_rollback = True

    def test_the_content_types_are_there(self) -> None:
        self.assertTrue(ContentType.objects.exists())
