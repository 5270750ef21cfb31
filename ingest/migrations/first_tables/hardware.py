"""GPUs, and what servers measure."""

from django.core.validators import MinValueValidator
from django.db import migrations, models

from ingest.migrations.first_tables.parts import composite_key, float_is_finite, own_id

TABLES = [
    migrations.CreateModel(
        name="Gpu",
        fields=[
            ("id", own_id()),
            ("uuid", models.TextField()),
            ("host", models.TextField()),
            ("index", models.IntegerField()),
            ("name", models.TextField()),
            ("memory_total_bytes", models.BigIntegerField(null=True)),
            ("simulated", models.BooleanField(default=False)),
            ("last_seen_at", models.DateTimeField()),
            (
                "pool",
                models.ForeignKey(on_delete=models.CASCADE, related_name="gpus", to="ingest.pool"),
            ),
            ("told_at", models.DateTimeField(null=True)),
            ("process_count", models.IntegerField(null=True)),
            ("is_mig", models.BooleanField(null=True)),
            ("is_lost", models.BooleanField(db_default=False, default=False)),
        ],
        options={
            "ordering": ["host", "index"],
            "constraints": [
                models.UniqueConstraint(fields=("pool", "uuid"), name="gpu_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="MigInstance",
        fields=[
            ("id", own_id()),
            ("uuid", models.TextField()),
            ("profile", models.TextField(blank=True)),
            ("gpu_instance_id", models.IntegerField(null=True)),
            ("compute_instance_id", models.IntegerField(null=True)),
            ("memory_used_bytes", models.BigIntegerField(null=True)),
            ("memory_total_bytes", models.BigIntegerField(null=True)),
            ("memory_reserved_bytes", models.BigIntegerField(null=True)),
            (
                "gpu",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="mig_instances", to="ingest.gpu"
                ),
            ),
        ],
        options={
            "ordering": ["gpu_instance_id", "compute_instance_id", "uuid"],
            "constraints": [
                models.UniqueConstraint(fields=("gpu", "uuid"), name="mig_instance_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="GpuProcess",
        fields=[
            ("id", own_id()),
            ("pid", models.BigIntegerField()),
            ("name", models.TextField(blank=True)),
            ("mig_uuid", models.TextField(blank=True)),
            ("memory_used_bytes", models.BigIntegerField(null=True)),
            (
                "gpu",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="processes", to="ingest.gpu"
                ),
            ),
        ],
        options={
            "ordering": [
                models.OrderBy(models.F("memory_used_bytes"), descending=True, nulls_last=True),
                "pid",
            ],
            "constraints": [
                models.UniqueConstraint(fields=("gpu", "pid", "mig_uuid"), name="gpu_process_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="GpuSample",
        fields=[
            ("pk", composite_key("pool_id", "day", "gpu_id", "at")),
            ("pool_id", models.IntegerField()),
            ("day", models.DateField()),
            ("gpu_id", models.BigIntegerField()),
            ("at", models.DateTimeField()),
            ("utilization_pct", models.FloatField(null=True)),
            ("memory_used_bytes", models.BigIntegerField(null=True)),
            ("power_w", models.FloatField(null=True)),
            ("power_limit_w", models.FloatField(null=True)),
            ("energy_mj", models.BigIntegerField(null=True)),
            ("sm_clock_mhz", models.IntegerField(null=True)),
            ("temperature_c", models.FloatField(null=True)),
            ("clock_event_reasons", models.BigIntegerField(null=True)),
            ("ecc_uncorrected", models.BigIntegerField(null=True)),
        ],
        options={
            "db_table": "ingest_gpu_sample",
            "managed": False,
        },
    ),
    migrations.CreateModel(
        name="GpuQuarter",
        fields=[
            ("pk", composite_key("pool_id", "at", "gpu_id")),
            ("pool_id", models.IntegerField()),
            ("at", models.DateTimeField()),
            ("gpu_id", models.BigIntegerField()),
            ("samples", models.IntegerField()),
            ("covered_s", models.FloatField()),
            ("utilization_pct", models.FloatField(null=True)),
            ("memory_used_bytes_max", models.BigIntegerField(null=True)),
            ("power_w", models.FloatField(null=True)),
            ("energy_j", models.FloatField(null=True)),
            ("throttled_samples", models.IntegerField(default=0)),
            ("memory_reserved_bytes_max", models.BigIntegerField(null=True)),
            ("power_limit_w", models.FloatField(null=True)),
            ("reasons_s", models.FloatField(null=True)),
            ("throttled_s", models.FloatField(null=True)),
            ("power_cap_s", models.FloatField(null=True)),
            ("thermal_s", models.FloatField(null=True)),
            ("power_brake_s", models.FloatField(null=True)),
            ("lost_s", models.FloatField(null=True)),
            ("ecc_corrected", models.BigIntegerField(null=True)),
            ("ecc_uncorrected", models.BigIntegerField(null=True)),
            ("remapped_rows", models.BigIntegerField(null=True)),
            ("remap_pending", models.BooleanField(null=True)),
            ("remap_failed", models.BooleanField(null=True)),
            ("xid_errors", models.BigIntegerField(null=True)),
            ("last_xid", models.IntegerField(null=True)),
        ],
        options={
            "db_table": "ingest_gpu_quarter",
        },
    ),
    migrations.CreateModel(
        name="GpuDay",
        fields=[
            ("pk", composite_key("pool_id", "day", "gpu_id")),
            ("pool_id", models.IntegerField()),
            ("day", models.DateField()),
            ("gpu_id", models.BigIntegerField()),
            ("first_at", models.DateTimeField()),
            ("covered_s", models.FloatField()),
            ("throttled_samples", models.BigIntegerField(default=0)),
            ("utilization_s", models.FloatField(null=True)),
            ("utilization_known_s", models.FloatField(null=True)),
            ("power_ws", models.FloatField(null=True)),
            ("power_known_s", models.FloatField(null=True)),
            ("energy_j", models.FloatField(null=True)),
            ("power_limit_w", models.FloatField(null=True)),
            ("reasons_s", models.FloatField(null=True)),
            ("throttled_s", models.FloatField(null=True)),
            ("power_cap_s", models.FloatField(null=True)),
            ("thermal_s", models.FloatField(null=True)),
            ("power_brake_s", models.FloatField(null=True)),
            ("lost_s", models.FloatField(null=True)),
            ("memory_used_bytes_max", models.BigIntegerField(null=True)),
            ("memory_reserved_bytes_max", models.BigIntegerField(null=True)),
            ("ecc_corrected", models.BigIntegerField(null=True)),
            ("ecc_uncorrected", models.BigIntegerField(null=True)),
            ("remapped_rows", models.BigIntegerField(null=True)),
            ("xid_errors", models.BigIntegerField(null=True)),
            ("remap_pending", models.BooleanField(null=True)),
            ("remap_failed", models.BooleanField(null=True)),
            ("last_xid", models.IntegerField(null=True)),
        ],
        options={
            "db_table": "ingest_gpu_day",
            "indexes": [
                models.Index(fields=["day"], name="gpu_day_day"),
            ],
        },
    ),
    migrations.CreateModel(
        name="ServedModel",
        fields=[
            ("id", own_id()),
            (
                "model",
                models.CharField(help_text="As spans and the server name it.", max_length=200),
            ),
            (
                "parameter_bytes",
                models.BigIntegerField(
                    help_text="Parameters × bytes of each: 8 billion in FP16 are 16,000,000,000.",
                    validators=[MinValueValidator(1)],
                ),
            ),
            (
                "kv_cache_bytes",
                models.BigIntegerField(
                    blank=True,
                    help_text="What the server reserves for its KV cache; empty when not known.",
                    null=True,
                    validators=[MinValueValidator(1)],
                ),
            ),
            (
                "gpus",
                models.PositiveSmallIntegerField(
                    default=1,
                    help_text="GPUs that one copy of the model is spread over.",
                    validators=[MinValueValidator(1)],
                ),
            ),
            ("updated_at", models.DateTimeField(auto_now=True)),
            (
                "pool",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="served_models", to="ingest.pool"
                ),
            ),
        ],
        options={
            "ordering": ["pool", "model"],
            "constraints": [
                models.UniqueConstraint(fields=("pool", "model"), name="served_model_once"),
                models.CheckConstraint(
                    condition=models.Q(
                        ("parameter_bytes__gt", 0),
                        ("gpus__gt", 0),
                        models.Q(
                            ("kv_cache_bytes__isnull", True),
                            ("kv_cache_bytes__gt", 0),
                            _connector="OR",
                        ),
                    ),
                    name="served_model_has_size",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Series",
        fields=[
            ("id", own_id()),
            ("name", models.TextField()),
            ("kind", models.TextField()),
            ("unit", models.TextField(blank=True)),
            ("labels", models.JSONField(default=dict)),
            ("fingerprint", models.BinaryField(max_length=16)),
            ("first_seen_at", models.DateTimeField(auto_now_add=True)),
            ("pool", models.ForeignKey(on_delete=models.CASCADE, to="ingest.pool")),
        ],
        options={
            "indexes": [
                models.Index(fields=["pool", "name"], name="series_name"),
            ],
            "constraints": [
                models.UniqueConstraint(fields=("pool", "fingerprint"), name="series_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="MetricSample",
        fields=[
            ("pk", composite_key("pool_id", "day", "series_id", "at")),
            ("pool_id", models.IntegerField()),
            ("day", models.DateField()),
            ("series_id", models.BigIntegerField()),
            ("at", models.DateTimeField()),
            ("value", models.FloatField()),
        ],
        options={
            "db_table": "ingest_metric_sample",
            "managed": False,
        },
    ),
    migrations.CreateModel(
        name="SeriesQuarter",
        fields=[
            ("pk", composite_key("pool_id", "at", "series_id")),
            ("pool_id", models.IntegerField()),
            ("at", models.DateTimeField()),
            ("series_id", models.BigIntegerField()),
            ("samples", models.IntegerField()),
            ("covered_s", models.FloatField()),
            ("mean", models.FloatField()),
            ("minimum", models.FloatField()),
            ("maximum", models.FloatField()),
            ("last", models.FloatField()),
            ("increase", models.FloatField(null=True)),
            ("resets", models.IntegerField(default=0)),
        ],
        options={
            "db_table": "ingest_series_quarter",
            "constraints": [
                float_is_finite("mean", name="series_quarter_mean_finite"),
                float_is_finite("increase", name="series_quarter_increase_finite"),
            ],
        },
    ),
]
