"""Different users and sessions of each window in columns of their own, from the arrays they were."""

from django.db import migrations, models

WINDOWS = (("first", 1), ("second", 2), ("third", 3))
KEPT = (
    "project_id", "requests", "timed", "user_requests", "session_requests", "busy_ms", "peak",
)  # fmt: skip
NAMES = tuple(f"{who}_{place}" for who in ("users", "sessions") for _, place in WINDOWS)
SPLIT = "UPDATE ingest_concurrency_quarter SET " + ", ".join(
    f"{who}_{place} = {who}[{place}]" for who in ("users", "sessions") for _, place in WINDOWS
)


class Migration(migrations.Migration):
    dependencies = [
        ("ingest", "0005_bill_sku_day"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="concurrencyquarter", name="concurrency_of_projects"),
        *(
            migrations.AddField(
                model_name="concurrencyquarter",
                name=f"{who}_{place}",
                field=models.IntegerField(
                    null=True,
                    help_text=f"Different {who} in its {window} five minutes;"
                    " NULL: no request named one.",
                ),
            )
            for who in ("users", "sessions")
            for window, place in WINDOWS
        ),
        migrations.RunSQL(SPLIT, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="concurrencyquarter", name="users"),
        migrations.RemoveField(model_name="concurrencyquarter", name="sessions"),
        migrations.AddIndex(
            model_name="concurrencyquarter",
            index=models.Index(
                condition=models.Q(("whole", True)),
                fields=["at"],
                include=(*KEPT, *NAMES),
                name="concurrency_of_projects",
            ),
        ),
    ]
