"""Views of a page that people keep."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("finops", "0016_user_sums")]

    operations = [
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("page", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=100)),
                (
                    "query",
                    models.CharField(help_text="As in the page's address.", max_length=2000),
                ),
                ("is_shared", models.BooleanField(default=False)),
                (
                    "is_default",
                    models.BooleanField(
                        default=False, help_text="What the page opens with for its owner."
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name", "pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(page__in=["costs", "requests"]), name="savedview_page_known"
                    ),
                    models.UniqueConstraint(
                        fields=("owner", "page", "name"), name="savedview_name_once"
                    ),
                    models.UniqueConstraint(
                        condition=Q(is_default=True),
                        fields=("owner", "page"),
                        name="savedview_one_default",
                    ),
                ],
            },
        ),
    ]
