"""How far a bill has charged a service, in one look."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0003_late_spans_stay")]

    operations = [
        migrations.AddIndex(
            model_name="billday",
            index=models.Index(
                fields=["period", "provider", "service", "charged_until"],
                condition=models.Q(charge_category="Usage"),
                name="bill_day_until",
            ),
        ),
    ]
