"""The tables of people and money; what the database itself guards follows in 0002 to 0007."""

from django.db import migrations

from finops.migrations.first_tables import (
    alerts,
    allocation,
    budgets,
    channels,
    costs,
    exchange,
    people,
    prices,
    savings,
    slos,
    terms,
)
from ingest.create_together import CreateTogether


class Migration(migrations.Migration):
    initial = True
    replaces = [
        ("finops", "0001_initial"),
        ("finops", "0004_user_costs"),
        ("finops", "0005_repricing"),
        ("finops", "0008_budgets"),
        ("finops", "0010_price_terms"),
        ("finops", "0012_exchange"),
        ("finops", "0013_slack_and_flapping"),
        ("finops", "0014_usage_allocation"),
        ("finops", "0015_labels"),
        ("finops", "0016_user_sums"),
        ("finops", "0017_saved_views"),
        ("finops", "0018_hardware_days"),
    ]
    dependencies = [("auth", "0012_alter_user_first_name_max_length"), ("ingest", "0001_tables")]
    operations = [
        CreateTogether(
            [
                *people.TABLES,
                *prices.TABLES,
                *terms.TABLES,
                *exchange.TABLES,
                *costs.TABLES,
                *savings.TABLES,
                *channels.TABLES,
                *alerts.TABLES,
                *budgets.TABLES,
                *allocation.TABLES,
                *slos.TABLES,
            ]
        )
    ]
