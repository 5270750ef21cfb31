"""The tables of advice and changes; the guards of the database itself follow in 0002."""

from django.conf import settings
from django.db import migrations

from ingest.create_together import CreateTogether
from optimiser.migrations.first_tables import advice, changes


class Migration(migrations.Migration):
    initial = True
    replaces = [
        ("optimiser", "0001_initial"),
        ("optimiser", "0003_lease_on_targets"),
    ]
    dependencies = [
        ("ingest", "0001_tables"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        CreateTogether(
            [
                *advice.TABLES,
                *changes.TABLES,
            ]
        )
    ]
