"""What pools were paid, used and observed by the day, and quick ways to usage without a price."""

from django.conf import settings
from django.db import migrations, models

POOL_DAYS = """
UPDATE finops_poolday d SET used = f.used, busy_s = f.busy_s,
    counted_quarters = f.counted, observed_quarters = f.observed, observed_used = f.observed_used,
    observed_requests = f.observed_requests, uncounted_quarters = f.uncounted
FROM (
    SELECT pool_id, (at AT TIME ZONE %(zone)s)::date AS day, model, currency, sum(used) AS used,
        sum(busy_s) AS busy_s, count(requests) AS counted,
        count(*) FILTER (WHERE is_seen) AS observed,
        coalesce(sum(used) FILTER (WHERE is_seen AND requests IS NOT NULL), 0) AS observed_used,
        coalesce(sum(requests) FILTER (WHERE is_seen AND used IS NOT NULL), 0)
            AS observed_requests,
        count(*) FILTER (WHERE is_seen AND requests IS NULL) AS uncounted
    FROM (
        SELECT *, max(covered_s) FILTER (WHERE model = '')
            OVER (PARTITION BY pool_id, at) > 0 AS is_seen
        FROM finops_poolquarter
    ) AS quarters GROUP BY 1, 2, 3, 4
) AS f
WHERE d.pool_id = f.pool_id AND d.day = f.day AND d.model = f.model AND d.currency = f.currency"""

UNOBSERVED = "least(paid - used, paid * (1 - covered_s::numeric / 900))"
HARDWARE_DAYS = f"""
INSERT INTO finops_hardwareday
    (pool_id, day, currency, first_at, paid, used, unobserved, covered_s, elapsed_s, unpriced_s,
     priced_paid, observed, observed_used, observed_busy_s)
SELECT pool_id, (at AT TIME ZONE %(zone)s)::date, currency, min(at), sum(paid), sum(used),
    sum({UNOBSERVED}), sum(covered_s), 900 * count(*), 900 * count(*) FILTER (WHERE unpriced),
    sum(paid) FILTER (WHERE NOT unpriced),
    sum(paid - {UNOBSERVED}) FILTER (WHERE NOT unpriced AND covered_s > 0),
    sum(used) FILTER (WHERE NOT unpriced AND covered_s > 0),
    sum(busy_s) FILTER (WHERE NOT unpriced AND covered_s > 0)
FROM (
    SELECT pool_id, at, max(currency) AS currency, sum(allocated) AS paid, sum(used) AS used,
        sum(busy_s) AS busy_s, bool_or(allocated IS NULL) AS unpriced,
        max(covered_s) FILTER (WHERE model = '') AS covered_s
    FROM finops_poolquarter GROUP BY pool_id, at
) AS quarters GROUP BY 1, 2, 3"""


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        for statement in (POOL_DAYS, HARDWARE_DAYS):
            cursor.execute(statement, {"zone": settings.ACCOUNTING_TIME_ZONE})


def amount(**options):
    return models.DecimalField(decimal_places=20, max_digits=38, **options)


def is_finite(name):
    least, most = -1_000_000_000_000, 1_000_000_000_000
    return models.CheckConstraint(
        condition=models.Q(**{f"{name}__isnull": True})
        | models.Q(**{f"{name}__gt": least, f"{name}__lt": most}),
        name=f"hardware_day_{name}_finite",
    )


class Migration(migrations.Migration):
    dependencies = [("finops", "0018_hardware_days")]

    operations = [
        migrations.AddField("poolday", "used", amount(null=True)),
        migrations.AddField("poolday", "busy_s", models.FloatField(null=True)),
        migrations.AddField(
            "poolday",
            "counted_quarters",
            models.BigIntegerField(
                default=0,
                help_text="Of which the requests are known; with none of them, none is known.",
            ),
        ),
        migrations.AddField(
            "poolday",
            "observed_quarters",
            models.BigIntegerField(
                default=0,
                help_text="In which the pool was observed at all; the next three are of these.",
            ),
        ),
        migrations.AddField(
            "poolday", "observed_used", amount(default=0, help_text="Where requests are known.")
        ),
        migrations.AddField(
            "poolday",
            "observed_requests",
            models.FloatField(default=0, help_text="Where it is known what they used."),
        ),
        migrations.AddField("poolday", "uncounted_quarters", models.BigIntegerField(default=0)),
        migrations.CreateModel(
            name="HardwareDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "pool_id",
                        "day",
                        "currency",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("pool_id", models.IntegerField()),
                ("day", models.DateField()),
                ("currency", models.TextField()),
                ("first_at", models.DateTimeField()),
                ("paid", amount(null=True)),
                ("used", amount(null=True)),
                (
                    "unobserved",
                    amount(null=True, help_text="Paid while nothing was observed."),
                ),
                ("covered_s", models.FloatField(null=True)),
                ("elapsed_s", models.FloatField(null=True)),
                ("unpriced_s", models.FloatField(default=0)),
                (
                    "priced_paid",
                    amount(null=True, help_text="In quarter hours of which every row has a price."),
                ),
                (
                    "observed",
                    amount(null=True, help_text="Of that, what was not unobserved."),
                ),
                ("observed_used", amount(null=True)),
                ("observed_busy_s", models.FloatField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="hardware_day_day")],
                "constraints": [is_finite("paid"), is_finite("used")],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            "costquarter",
            models.Index(
                fields=["at"],
                condition=models.Q(unpriced_tokens=0, unpriced_spans__gt=0),
                name="cost_quarter_requests",
            ),
        ),
        migrations.AddIndex(
            "costquarter",
            models.Index(
                fields=["at"],
                condition=models.Q(unpriced_tokens__gt=0) & ~models.Q(currency=""),
                name="cost_quarter_in_part",
            ),
        ),
    ]
