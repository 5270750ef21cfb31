"""What a refused row needs to be tried again: its form, its state, how often it was tried."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0012_derived_measures")]

    operations = [
        migrations.AddField(
            model_name="reject",
            name="form",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                max_length=30,
                help_text="Which decoder reads the payload again; empty: none can.",
            ),
        ),
        migrations.AddField(
            model_name="reject",
            name="state",
            field=models.CharField(db_default="refused", default="refused", max_length=10),
        ),
        migrations.AddField(
            model_name="reject",
            name="tries",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="reject",
            name="tried_at",
            field=models.DateTimeField(null=True, help_text="When it was last tried again."),
        ),
        migrations.AddConstraint(
            model_name="reject",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["refused", "taken"])), name="reject_state_known"
            ),
        ),
    ]
