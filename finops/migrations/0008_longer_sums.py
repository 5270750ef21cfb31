"""Sums by four weeks of what users cost; of labels by the week and by four, made of what is there."""

from django.db import migrations, models

SPEND = """
INSERT INTO finops_labelspend
    (project_id, days, first, label, value, currency, priced_spans, spans, cost)
SELECT project_id, 1, day, label, value, currency, priced_spans,
    spans + CASE WHEN currency <> '' AND is_first THEN priceless ELSE 0 END, cost
FROM (
    SELECT project_id, day, label, value, currency, sum(spans) AS spans, sum(cost) AS cost,
        sum(priced_spans) AS priced_spans,
        row_number() OVER (PARTITION BY project_id, day, label, value ORDER BY currency DESC) = 1
            AS is_first,
        coalesce(sum(sum(spans)) FILTER (WHERE currency = '')
            OVER (PARTITION BY project_id, day, label, value), 0) AS priceless
    FROM finops_labelcostday GROUP BY project_id, day, label, value, currency
) AS found WHERE currency <> '' OR is_first"""

LONGER_SPEND = """
INSERT INTO finops_labelspend
    (project_id, days, first, label, value, currency, priced_spans, spans, cost)
SELECT project_id, {days}, {first} AS begins, label, value, currency, sum(priced_spans),
    sum(spans), sum(cost)
FROM finops_labelspend WHERE days = {of_days}
GROUP BY project_id, begins, label, value, currency"""

KNOWN_USERS = """
INSERT INTO finops_knownuser (user_id)
SELECT DISTINCT user_id FROM finops_usercostday ORDER BY user_id"""

USER_SPEND = """
INSERT INTO finops_userspend (project_id, days, first, of_all, service, provider, model, currency,
    users, costs, spans)
SELECT project_id, {days}, begins, of_all, service, provider, model, currency,
    string_agg(int4send(number), ''), string_agg(float8send(cost), ''),
    string_agg(int8send(spans), '')
FROM (
    SELECT project_id, {day} AS begins, number, grouping(model) = 1 AS of_all,
        coalesce(service, '') AS service, coalesce(provider, '') AS provider,
        coalesce(model, '') AS model, currency, sum(cost)::float8 AS cost,
        sum(spans)::bigint AS spans
    FROM finops_usercostday JOIN finops_knownuser USING (user_id)
    GROUP BY project_id, begins, number, currency, GROUPING SETS ((service, provider, model), ())
) AS found GROUP BY project_id, begins, of_all, service, provider, model, currency"""

LONGER = """
INSERT INTO finops_{one}cost{name} (project_id, day, {who}, service, kind, provider, model, tier,
    input_band, currency, spans, priced_spans, unpriced_spans, unknown_spans, tokens,
    unpriced_tokens, input_cost, cache_cost, output_cost, other_cost, cost, list_cost)
SELECT project_id, {day} AS begins, {who}, service, kind, provider, model, tier, input_band,
    currency, sum(spans), sum(priced_spans), sum(unpriced_spans), sum(unknown_spans), sum(tokens),
    sum(unpriced_tokens), sum(input_cost), sum(cache_cost), sum(output_cost), sum(other_cost),
    sum(cost), CASE WHEN count(list_cost) = count(*) THEN sum(list_cost) END
FROM finops_{one}cost{of}
GROUP BY project_id, begins, {who}, service, kind, provider, model, tier, input_band, currency
ORDER BY project_id, begins, {who}"""

MONDAY = "date_trunc('week', {})::date"
# The remainder of a day before 2024 is negative in PostgreSQL.
FIRST_OF_FOUR = "{0} - (({0} - date '2024-01-01') % 28 + 28) % 28"
DAY = {"days": 1, "begins": "{}"}
WEEK = {"days": 7, "of_days": 1, "name": "week", "of": "day", "begins": MONDAY}
FOUR_WEEKS = {
    "days": 28, "of_days": 7, "name": "fourweeks", "of": "week", "begins": FIRST_OF_FOUR,
}  # fmt: skip

DIMENSIONS = ("service", "kind", "provider", "model", "tier", "input_band")
COSTS = ("input_cost", "cache_cost", "output_cost", "other_cost", "cost")
LIST_COST = (
    "At list prices, before any discount. Null: unknown, as where a price is our own and no list"
    " has it, or when it was priced before list costs were kept."
)


def filled(text, period, one="", who=""):
    first, day = (period["begins"].format(column) for column in ("first", "day"))
    made = text.format(**{**period, "first": first, "day": day}, one=one, who=who)
    return migrations.RunSQL(made, migrations.RunSQL.noop)


def amount(**options):
    return models.DecimalField(decimal_places=20, max_digits=38, **options)


def finite(table):
    least, most = -1_000_000_000_000, 1_000_000_000_000
    return [
        models.CheckConstraint(
            condition=models.Q(**{f"{name}__isnull": True})
            | models.Q(**{f"{name}__gt": least, f"{name}__lt": most}),
            name=f"{table}_{name}_finite",
        )
        for name in ("cost", "list_cost")
    ]


def key(*columns):
    return models.CompositePrimaryKey(
        *columns, blank=True, editable=False, primary_key=True, serialize=False
    )


def costs(name, table, begins, who, **indexes):
    return migrations.CreateModel(
        name=name,
        fields=[
            ("project_id", models.IntegerField()),
            *((one, models.TextField()) for one in ("service", "kind", "provider", "model")),
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
            *((one, amount(default=0)) for one in COSTS),
            ("list_cost", amount(null=True, help_text=LIST_COST)),
            ("pk", key("project_id", "day", *who, *DIMENSIONS, "currency")),
            ("day", models.DateField(help_text=begins)),
            *((one, models.TextField()) for one in who),
        ],
        options={
            "indexes": [
                models.Index(fields=list(columns), name=f"{table}_{one}")
                for one, columns in indexes.items()
            ],
            "constraints": finite(table),
        },
    )


BY_WHAT = ("service", "provider", "model")
LABEL = ("label", "value")
BY_LABEL = {"value": ("label", "value", "day")}
BY_USER = {"user": ("user_id", "day")}


class Migration(migrations.Migration):
    dependencies = [("finops", "0007_slo_four_eyes")]

    operations = [
        migrations.CreateModel(
            name="LabelSpend",
            fields=[
                ("pk", key("project_id", "days", "first", "label", "value", "currency")),
                ("project_id", models.IntegerField()),
                ("days", models.SmallIntegerField(help_text="1, 7 or 28.")),
                ("first", models.DateField()),
                ("label", models.TextField()),
                ("value", models.TextField()),
                ("currency", models.TextField()),
                ("spans", models.BigIntegerField()),
                ("priced_spans", models.BigIntegerField()),
                ("cost", amount()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["label", "days", "first"], name="label_spend_first")
                ]
            },
        ),
        costs("LabelCostWeek", "label_cost_week", "The Monday.", LABEL, **BY_LABEL),
        costs(
            "LabelCostFourWeeks", "label_cost_four_weeks", "The first Monday.", LABEL, **BY_LABEL
        ),
        costs(
            "UserCostFourWeeks",
            "user_cost_four_weeks",
            "The first Monday.",
            ("user_id",),
            **BY_USER,
        ),
        migrations.AddIndex(
            model_name="labelcostday",
            index=models.Index(fields=["label", "value", "day"], name="label_cost_day_value"),
        ),
        migrations.RemoveIndex(model_name="usercostday", name="user_cost_day_day"),
        migrations.CreateModel(
            name="KnownUser",
            fields=[
                ("number", models.AutoField(primary_key=True, serialize=False)),
                ("user_id", models.TextField(unique=True)),
            ],
        ),
        migrations.DeleteModel(name="UserSpend"),
        migrations.CreateModel(
            name="UserSpend",
            fields=[
                (
                    "pk",
                    key("project_id", "days", "first", "of_all", *BY_WHAT, "currency"),
                ),
                ("project_id", models.IntegerField()),
                ("days", models.SmallIntegerField(help_text="1, 7 or 28.")),
                ("first", models.DateField()),
                (
                    "of_all",
                    models.BooleanField(help_text="Then service, provider and model are empty."),
                ),
                *((one, models.TextField()) for one in (*BY_WHAT, "currency")),
                ("users", models.BinaryField(help_text="Numbers of `KnownUser`, int4.")),
                ("costs", models.BinaryField(help_text="To compare by, not to show; float8.")),
                ("spans", models.BinaryField(help_text="int8.")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["days", "first", "of_all"], name="user_spend_first")
                ]
            },
        ),
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.RunSQL(SPEND, migrations.RunSQL.noop),
        migrations.RunSQL(KNOWN_USERS, migrations.RunSQL.noop),
        *(filled(USER_SPEND, period) for period in (DAY, WEEK, FOUR_WEEKS)),
        *(
            filled(text, period, "label", "label, value")
            for period in (WEEK, FOUR_WEEKS)
            for text in (LONGER_SPEND, LONGER)
        ),
        filled(LONGER, FOUR_WEEKS, "user", "user_id"),
    ]
