"""A delivery says what is doubtful about it, and why it is not complete."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0005_privacy")]

    operations = [
        migrations.AddField(
            "delivery",
            "note",
            models.TextField(
                blank=True, db_default="", default="", help_text="Why it is not complete."
            ),
        ),
        migrations.AddField(
            "delivery",
            "warnings",
            models.JSONField(
                blank=True,
                db_default=[],
                default=list,
                help_text="What is doubtful about its figures.",
            ),
        ),
    ]
