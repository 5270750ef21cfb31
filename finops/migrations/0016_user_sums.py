"""Narrow sums of what users cost, made of the wide ones that are there."""

from django.db import migrations, models

import ingest.models.fields

SPEND = """
SET LOCAL statement_timeout = 0;
INSERT INTO finops_userspend (project_id, days, first, user_id, currency, spans, cost)
SELECT project_id, 1, day, user_id, currency,
    spans + CASE WHEN currency <> '' AND is_first THEN priceless ELSE 0 END, cost
FROM (
    SELECT project_id, day, user_id, currency, sum(spans) AS spans, sum(cost)::float8 AS cost,
        row_number() OVER (PARTITION BY project_id, day, user_id ORDER BY currency DESC) = 1
            AS is_first,
        coalesce(sum(sum(spans)) FILTER (WHERE currency = '')
            OVER (PARTITION BY project_id, day, user_id), 0) AS priceless
    FROM finops_usercostday GROUP BY project_id, day, user_id, currency
) AS found WHERE currency <> '' OR is_first;
INSERT INTO finops_userspend (project_id, days, first, user_id, currency, spans, cost)
SELECT project_id, 7, date_trunc('week', first)::date AS monday, user_id, currency, sum(spans),
    sum(cost)
FROM finops_userspend WHERE days = 1 GROUP BY project_id, monday, user_id, currency"""

WEEKS = """
INSERT INTO finops_usercostweek (project_id, day, user_id, service, kind, provider, model, tier,
    input_band, currency, spans, priced_spans, unpriced_spans, unknown_spans, tokens,
    unpriced_tokens, input_cost, cache_cost, output_cost, other_cost, cost, list_cost)
SELECT project_id, date_trunc('week', day)::date AS monday, user_id, service, kind, provider, model,
    tier, input_band, currency, sum(spans), sum(priced_spans), sum(unpriced_spans),
    sum(unknown_spans), sum(tokens), sum(unpriced_tokens), sum(input_cost), sum(cache_cost),
    sum(output_cost), sum(other_cost), sum(cost),
    CASE WHEN count(list_cost) = count(*) THEN sum(list_cost) END
FROM finops_usercostday
GROUP BY project_id, monday, user_id, service, kind, provider, model, tier, input_band, currency"""

PAGES = """
INSERT INTO finops_usernumber (project_id, user_id, number)
SELECT project_id, user_id, row_number() OVER (PARTITION BY project_id ORDER BY user_id) - 1
FROM (
    SELECT DISTINCT project_id, user_id FROM finops_usercostday
    WHERE user_id <> '' AND priced_spans > 0
) AS found;
INSERT INTO finops_userpage (project_id, day, service, provider, model, currency, page, users,
    priced_spans, cost)
SELECT c.project_id, c.day, c.service, c.provider, c.model, c.currency,
    coalesce(n.number / 4096, -1) AS page,
    bit_or(set_bit(0::bit(4096), n.number % 4096, 1)) FILTER (WHERE n.number IS NOT NULL),
    sum(c.priced_spans), sum(c.cost)
FROM finops_usercostday c LEFT JOIN finops_usernumber n USING (project_id, user_id)
WHERE c.priced_spans > 0
GROUP BY c.project_id, c.day, c.service, c.provider, c.model, c.currency, page"""


DIMENSIONS = ("service", "kind", "provider", "model", "tier", "input_band")
COSTS = ("input_cost", "cache_cost", "output_cost", "other_cost", "cost")
LIST_COST = (
    "At list prices, before any discount. Null: unknown, as where a price is our own and no list"
    " has it, or when it was priced before list costs were kept."
)


def amount(**options):
    return models.DecimalField(decimal_places=20, max_digits=38, **options)


def is_finite(name):
    least, most = -1_000_000_000_000, 1_000_000_000_000
    return models.CheckConstraint(
        condition=models.Q(**{f"{name}__isnull": True})
        | models.Q(**{f"{name}__gt": least, f"{name}__lt": most}),
        name=f"user_cost_week_{name}_finite",
    )


def key(*columns):
    return models.CompositePrimaryKey(
        *columns, blank=True, editable=False, primary_key=True, serialize=False
    )


class Migration(migrations.Migration):
    dependencies = [("finops", "0015_labels")]

    operations = [
        migrations.CreateModel(
            name="UserNumber",
            fields=[
                ("pk", key("project_id", "user_id")),
                ("project_id", models.IntegerField()),
                ("user_id", models.TextField()),
                ("number", models.IntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project_id", "number"), name="user_number_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UserPage",
            fields=[
                (
                    "pk",
                    key("project_id", "day", "service", "provider", "model", "currency", "page"),
                ),
                ("project_id", models.IntegerField()),
                ("day", models.DateField()),
                ("service", models.TextField()),
                ("provider", models.TextField()),
                ("model", models.TextField()),
                ("currency", models.TextField()),
                ("page", models.IntegerField()),
                (
                    "users",
                    ingest.models.fields.BitSet(help_text="Null: nobody is named.", null=True),
                ),
                ("priced_spans", models.BigIntegerField()),
                ("cost", models.DecimalField(decimal_places=20, max_digits=38)),
            ],
            options={"indexes": [models.Index(fields=["day"], name="user_page_day")]},
        ),
        migrations.CreateModel(
            name="UserSpend",
            fields=[
                ("pk", key("project_id", "days", "first", "user_id", "currency")),
                ("project_id", models.IntegerField()),
                ("days", models.SmallIntegerField(help_text="1 or 7.")),
                ("first", models.DateField()),
                ("user_id", models.TextField()),
                ("currency", models.TextField()),
                ("spans", models.BigIntegerField()),
                ("cost", models.FloatField(help_text="To compare by, not to show.")),
            ],
            options={"indexes": [models.Index(fields=["days", "first"], name="user_spend_first")]},
        ),
        migrations.CreateModel(
            name="UserCostWeek",
            fields=[
                ("project_id", models.IntegerField()),
                *((name, models.TextField()) for name in ("service", "kind", "provider", "model")),
                ("tier", models.TextField()),
                ("input_band", models.IntegerField()),
                ("currency", models.TextField()),
                ("spans", models.BigIntegerField()),
                ("priced_spans", models.BigIntegerField()),
                (
                    "unpriced_spans",
                    models.BigIntegerField(default=0, help_text="Usage known, no price."),
                ),
                (
                    "unknown_spans",
                    models.BigIntegerField(default=0, help_text="Usage itself unknown."),
                ),
                ("tokens", models.BigIntegerField(default=0)),
                ("unpriced_tokens", models.BigIntegerField(default=0)),
                *((name, amount(default=0)) for name in COSTS),
                ("list_cost", amount(null=True, help_text=LIST_COST)),
                ("pk", key("project_id", "day", "user_id", *DIMENSIONS, "currency")),
                ("day", models.DateField(help_text="The Monday.")),
                ("user_id", models.TextField()),
            ],
            options={
                "indexes": [models.Index(fields=["user_id", "day"], name="user_cost_week_user")],
                "constraints": [is_finite("cost"), is_finite("list_cost")],
            },
        ),
        migrations.RunSQL(SPEND, migrations.RunSQL.noop),
        migrations.RunSQL(WEEKS, migrations.RunSQL.noop),
        migrations.RunSQL(PAGES, migrations.RunSQL.noop),
    ]
