from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingest", "0006_concurrency_by_window"),
    ]

    operations = [
        migrations.CreateModel(
            name="RestingDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "owner_kind",
                        "owner_id",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("owner_kind", models.TextField()),
                ("owner_id", models.IntegerField()),
                ("day", models.DateField()),
                ("until", models.DateTimeField()),
            ],
            options={"db_table": "ingest_resting_day"},
        ),
    ]
