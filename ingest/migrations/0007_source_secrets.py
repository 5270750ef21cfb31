"""A source keeps its secrets apart from its config, and says when it may ask again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0006_delivery_notes")]

    operations = [
        migrations.AddField(
            "source",
            "secrets",
            models.BinaryField(
                null=True, help_text="Encrypted settings that go in and never come out."
            ),
        ),
        migrations.AddField(
            "source",
            "delayed_until",
            models.DateTimeField(
                null=True,
                blank=True,
                editable=False,
                help_text="No request to its server before this.",
            ),
        ),
        migrations.AddField(
            "source",
            "spent",
            models.JSONField(
                default=dict,
                db_default={},
                editable=False,
                help_text="Requests of this minute and day.",
            ),
        ),
    ]
