"""Time per output token, abandoned requests, how much was at once, and the sizes of served models.

What was summed before has none of it and says so: its counts are 0, which means unknown. Sums of
days whose facts are still there can be made again with `manage.py sum_again`.
"""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

SUMMED_IN = ("spanquarter", "spanhour", "spanday", "latequarter")


def sums():
    return {
        "tpot_count": models.BigIntegerField(db_default=0),
        "tpot_ms_sum": models.FloatField(db_default=0),
        "tpot_keys": array(models.SmallIntegerField(), db_default=[]),
        "tpot_counts": array(models.IntegerField(), db_default=[]),
        "endings_known": models.BigIntegerField(
            db_default=0, help_text="Spans that say whether their caller waited for the end."
        ),
        "abandoned": models.BigIntegerField(
            db_default=0, help_text="Of these, the ones whose caller did not."
        ),
    }


def array(of, **more):
    return django.contrib.postgres.fields.ArrayField(base_field=of, size=None, **more)


def at_least_one():
    return [django.core.validators.MinValueValidator(1)]


class Migration(migrations.Migration):
    dependencies = [("ingest", "0011_gpu_health")]

    operations = [
        *(
            migrations.AddField(model, name, field)
            for model in SUMMED_IN
            for name, field in sums().items()
        ),
        migrations.CreateModel(
            name="ConcurrencyQuarter",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "project_id", "whole", "at", "service", "provider", "model",
                        blank=True, editable=False, primary_key=True, serialize=False,
                    ),
                ),
                ("project_id", models.IntegerField()),
                (
                    "whole",
                    models.BooleanField(help_text="Of the whole project; its names are empty."),
                ),
                ("at", models.DateTimeField()),
                ("service", models.TextField()),
                ("provider", models.TextField()),
                ("model", models.TextField()),
                ("requests", models.IntegerField(help_text="That started in it.")),
                (
                    "timed",
                    models.IntegerField(help_text="Of these, the ones whose end is known."),
                ),
                (
                    "user_requests",
                    models.IntegerField(help_text="Of these, the ones that name a user."),
                ),
                (
                    "session_requests",
                    models.IntegerField(help_text="Of these, the ones that name a session."),
                ),
                (
                    "busy_ms",
                    models.FloatField(
                        help_text="Time under way inside the quarter, of all requests."
                    ),
                ),
                (
                    "peak",
                    models.IntegerField(help_text="The most that were under way at one moment."),
                ),
                (
                    "users",
                    array(
                        models.IntegerField(),
                        null=True,
                        help_text="Different users in each of its three windows of 5 minutes; "
                        "NULL: none named.",
                    ),
                ),
                (
                    "sessions",
                    array(
                        models.IntegerField(),
                        null=True,
                        help_text="Different sessions in each of its three windows of 5 minutes.",
                    ),
                ),
            ],
            options={
                "db_table": "ingest_concurrency_quarter",
                "indexes": [models.Index(fields=["whole", "at"], name="concurrency_whole_at")],
            },
        ),
        migrations.CreateModel(
            name="ServedModel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "model",
                    models.CharField(
                        max_length=200, help_text="As spans and the server name it."
                    ),
                ),
                (
                    "parameter_bytes",
                    models.BigIntegerField(
                        validators=at_least_one(),
                        help_text="Parameters × bytes of each: 8 billion in FP16 are "
                        "16,000,000,000.",
                    ),
                ),
                (
                    "kv_cache_bytes",
                    models.BigIntegerField(
                        null=True,
                        blank=True,
                        validators=at_least_one(),
                        help_text="What the server reserves for its KV cache; empty when not "
                        "known.",
                    ),
                ),
                (
                    "gpus",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=at_least_one(),
                        help_text="GPUs that one copy of the model is spread over.",
                    ),
                ),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="served_models",
                        to="ingest.pool",
                    ),
                ),
            ],
            options={
                "ordering": ["pool", "model"],
                "constraints": [
                    models.UniqueConstraint(fields=["pool", "model"], name="served_model_once"),
                    models.CheckConstraint(
                        condition=models.Q(parameter_bytes__gt=0)
                        & models.Q(gpus__gt=0)
                        & (models.Q(kv_cache_bytes__isnull=True) | models.Q(kv_cache_bytes__gt=0)),
                        name="served_model_has_size",
                    ),
                ],
            },
        ),
    ]  # fmt: skip
