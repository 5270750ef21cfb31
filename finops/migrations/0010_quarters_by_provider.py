"""A day that a bill covers in part is filled from the quarter hours of its provider alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("finops", "0009_label_totals"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="costquarter", name="cost_quarter_at"),
        migrations.AddIndex(
            model_name="costquarter",
            index=models.Index(fields=["provider", "at"], name="cost_quarter_provider"),
        ),
    ]
