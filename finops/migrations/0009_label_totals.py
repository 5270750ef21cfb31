"""What values of a label cost and used, of whatever model, from their costs by it."""

from django.db import migrations, models

FILL = """
INSERT INTO finops_labeltotal (project_id, days, first, label, value, provider, currency, cost,
    requests, priced_requests, tokens, unpriced_spans, unpriced_tokens, unknown_spans)
SELECT project_id, {days}, day, label, value, provider, currency, sum(cost),
    coalesce(sum(spans) FILTER (WHERE kind IN ('llm', 'embedding', 'rerank', 'inference')), 0),
    coalesce(sum(priced_spans)
        FILTER (WHERE kind IN ('llm', 'embedding', 'rerank', 'inference')), 0),
    sum(tokens), sum(unpriced_spans), sum(unpriced_tokens), sum(unknown_spans)
FROM finops_labelcost{name}
GROUP BY project_id, day, label, value, provider, currency
ORDER BY day, project_id"""
FILLS = [
    FILL.format(name=name, days=days)
    for name, days in (("day", 1), ("week", 7), ("fourweeks", 28))
]


class Migration(migrations.Migration):
    dependencies = [
        ("finops", "0008_longer_sums"),
    ]

    operations = [
        migrations.CreateModel(
            name="LabelTotal",
            fields=[
                ("project_id", models.IntegerField()),
                ("days", models.SmallIntegerField(help_text="1, 7 or 28.")),
                ("first", models.DateField()),
                ("currency", models.TextField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        *("project_id", "days", "first", "label", "value", "provider", "currency"),
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("label", models.TextField()),
                ("value", models.TextField()),
                (
                    "provider",
                    models.TextField(help_text="Whose bill may cover it, or whose pool served it."),
                ),
                ("cost", models.DecimalField(decimal_places=20, max_digits=38)),
                ("requests", models.BigIntegerField(help_text="Spans that a model answered.")),
                ("priced_requests", models.BigIntegerField()),
                ("tokens", models.BigIntegerField()),
                ("unpriced_spans", models.BigIntegerField()),
                ("unpriced_tokens", models.BigIntegerField()),
                ("unknown_spans", models.BigIntegerField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["label", "days", "first"], name="label_total_first")
                ],
            },
        ),
        *(migrations.RunSQL(fill, migrations.RunSQL.noop) for fill in FILLS),
    ]
