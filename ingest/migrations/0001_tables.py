"""The tables of facts that Django can make; 0002 adds those that are partitioned."""

from django.db import migrations

from ingest.create_together import CreateTogether
from ingest.migrations.first_tables import (
    bills,
    events,
    hardware,
    sources,
    spans,
    sums,
    users_and_labels,
)


class Migration(migrations.Migration):
    initial = True
    replaces = [
        ("ingest", "0001_initial"),
        ("ingest", "0004_user_days"),
        ("ingest", "0005_privacy"),
        ("ingest", "0006_delivery_notes"),
        ("ingest", "0007_source_secrets"),
        ("ingest", "0008_told_parts"),
        ("ingest", "0009_events"),
        ("ingest", "0010_error_counts"),
        ("ingest", "0011_gpu_health"),
        ("ingest", "0012_derived_measures"),
        ("ingest", "0013_replays"),
        ("ingest", "0014_charged_until"),
        ("ingest", "0015_labels"),
        ("ingest", "0016_weeks"),
        ("ingest", "0017_score_at"),
    ]
    dependencies = []
    operations = [
        CreateTogether(
            [
                *sources.TABLES,
                *spans.TABLES,
                *sums.TABLES,
                *users_and_labels.TABLES,
                *hardware.TABLES,
                *bills.TABLES,
                *events.TABLES,
            ]
        )
    ]
