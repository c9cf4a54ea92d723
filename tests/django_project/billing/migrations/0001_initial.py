
import django_jwtrole
import django_jwtrole.expressions
import django_jwtrole.policy
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Invoice',
            fields=[
                ('tenant_id', models.UUIDField(db_default=django_jwtrole.expressions.ClaimDefault('tenant_id', models.UUIDField()), db_index=True, editable=False)),
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('number', models.TextField()),
            ],
            options={
                'db_table': 'invoice',
                'constraints': [django_jwtrole.policy.RowSecurity(fields=(), name='billing_invoice_rls'), django_jwtrole.Policy(command='ALL', fields=(), name='billing_invoice_tenant', permissive=True, template=1, to=['member', 'manager'], using=models.Q(('tenant_id', django_jwtrole.Claim('tenant_id', models.UUIDField())))), django_jwtrole.Grant(fields=(), name='billing_invoice_member', on=['DELETE', 'INSERT', 'SELECT', 'UPDATE'], to='member'), django_jwtrole.Grant(fields=(), name='billing_invoice_manager', on=['DELETE', 'INSERT', 'SELECT', 'UPDATE'], to='manager')],
            },
        ),
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('author', models.UUIDField()),
                ('body', models.TextField(db_column='text_body')),
                ('pinned', models.BooleanField(default=False)),
            ],
            options={
                'constraints': [django_jwtrole.policy.RowSecurity(fields=(), name='billing_note_rls'), django_jwtrole.Policy(command='ALL', fields=(), name='note_own', permissive=True, template=1, to=['member'], using=models.Q(('author', django_jwtrole.Claim('sub', models.UUIDField())))), django_jwtrole.Grant(fields=(), name='note_member', on=['INSERT', 'SELECT', 'UPDATE(body)'], to='member')],
            },
        ),
    ]
