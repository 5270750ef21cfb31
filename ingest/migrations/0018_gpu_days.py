"""GPUs by the accounting day, and an index that holds what pages add up of requests at once."""

from django.conf import settings
from django.db import migrations, models

DAYS = """
INSERT INTO ingest_gpu_day
    (pool_id, day, gpu_id, first_at, covered_s, utilization_s, utilization_known_s, power_ws,
     power_known_s, power_limit_w, memory_used_bytes_max, memory_reserved_bytes_max, remapped_rows,
     energy_j, throttled_samples, reasons_s, throttled_s, power_cap_s, thermal_s, power_brake_s,
     lost_s, ecc_corrected, ecc_uncorrected, xid_errors, remap_pending, remap_failed, last_xid)
SELECT pool_id, (at AT TIME ZONE %s)::date, gpu_id, min(at), sum(covered_s),
    sum(utilization_pct * covered_s), sum(covered_s) FILTER (WHERE utilization_pct IS NOT NULL),
    sum(power_w * covered_s), sum(covered_s) FILTER (WHERE power_w IS NOT NULL),
    min(power_limit_w), max(memory_used_bytes_max), max(memory_reserved_bytes_max),
    max(remapped_rows), sum(energy_j), sum(throttled_samples), sum(reasons_s), sum(throttled_s),
    sum(power_cap_s), sum(thermal_s), sum(power_brake_s), sum(lost_s), sum(ecc_corrected),
    sum(ecc_uncorrected), sum(xid_errors),
    (array_agg(remap_pending ORDER BY at DESC) FILTER (WHERE remap_pending IS NOT NULL))[1],
    (array_agg(remap_failed ORDER BY at DESC) FILTER (WHERE remap_failed IS NOT NULL))[1],
    (array_agg(last_xid ORDER BY at DESC) FILTER (WHERE xid_errors > 0))[1]
FROM ingest_gpu_quarter GROUP BY 1, 2, 3"""

SECONDS = (
    "energy_j", "power_limit_w", "reasons_s", "throttled_s", "power_cap_s", "thermal_s",
    "power_brake_s", "lost_s",
)  # fmt: skip
COUNTS = (
    "memory_used_bytes_max", "memory_reserved_bytes_max", "ecc_corrected", "ecc_uncorrected",
    "remapped_rows", "xid_errors",
)  # fmt: skip
MEANS = ("utilization_s", "utilization_known_s", "power_ws", "power_known_s")
AT_ONCE = (
    "project_id", "requests", "timed", "user_requests", "session_requests", "busy_ms", "peak",
    "users", "sessions",
)  # fmt: skip


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(DAYS, [settings.ACCOUNTING_TIME_ZONE])


class Migration(migrations.Migration):
    dependencies = [("ingest", "0017_score_at")]

    operations = [
        migrations.CreateModel(
            name="GpuDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "pool_id",
                        "day",
                        "gpu_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("pool_id", models.IntegerField()),
                ("day", models.DateField()),
                ("gpu_id", models.BigIntegerField()),
                ("first_at", models.DateTimeField()),
                ("covered_s", models.FloatField()),
                ("throttled_samples", models.BigIntegerField(default=0)),
                *((name, models.FloatField(null=True)) for name in (*MEANS, *SECONDS)),
                *((name, models.BigIntegerField(null=True)) for name in COUNTS),
                ("remap_pending", models.BooleanField(null=True)),
                ("remap_failed", models.BooleanField(null=True)),
                ("last_xid", models.IntegerField(null=True)),
            ],
            options={
                "db_table": "ingest_gpu_day",
                "indexes": [models.Index(fields=["day"], name="gpu_day_day")],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RemoveIndex("concurrencyquarter", "concurrency_whole_at"),
        migrations.AddIndex(
            "concurrencyquarter",
            models.Index(
                fields=["at"],
                include=AT_ONCE,
                condition=models.Q(whole=True),
                name="concurrency_of_projects",
            ),
        ),
        migrations.AddIndex(
            "concurrencyquarter",
            models.Index(
                fields=["at"], condition=models.Q(whole=False), name="concurrency_of_parts"
            ),
        ),
    ]
