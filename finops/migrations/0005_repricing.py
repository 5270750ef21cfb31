"""Confirmed re-pricings, and price lists handed in as files."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):

    dependencies = [
        ("finops", "0004_user_costs"),
    ]

    operations = [
        migrations.CreateModel(
            name="PriceList",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="As the file was called.", max_length=100)),
                ("digest", models.CharField(help_text="SHA-256 of its bytes.", max_length=64, unique=True)),
                ("content", models.BinaryField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.CreateModel(
            name="Repricing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("project_ids", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), help_text="Null: every project, and all hardware.", null=True, size=None)),
                ("start", models.DateTimeField()),
                ("end", models.DateTimeField()),
                ("hours", models.PositiveIntegerField(help_text="Hours of one owner each.")),
                ("plan", models.CharField(help_text="Fingerprint of the preview.", max_length=64)),
                ("totals", models.JSONField(help_text="Currency: [before, after], as exact text.")),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("book", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="finops.pricebook")),
                ("created_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [models.CheckConstraint(condition=Q(("start__lt", F("end"))), name="repricing_range")],
            },
        ),
    ]
