"""What GPUs say about their health, who uses them, and how long their clocks were held back."""

import django.db.models.deletion
from django.db import migrations, models

COLUMNS = """
ALTER TABLE ingest_gpu_sample
    ADD COLUMN memory_reserved_bytes bigint,
    ADD COLUMN ecc_corrected bigint,
    ADD COLUMN remapped_corrected integer,
    ADD COLUMN remapped_uncorrected integer,
    ADD COLUMN remap_pending boolean,
    ADD COLUMN remap_failed boolean,
    ADD COLUMN xid_errors integer,
    ADD COLUMN last_xid integer,
    ADD COLUMN process_count integer,
    ADD COLUMN is_mig boolean,
    ADD COLUMN is_lost boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT gpu_sample_health_not_negative CHECK (
        LEAST(memory_reserved_bytes, ecc_corrected, remapped_corrected, remapped_uncorrected,
            xid_errors, last_xid, process_count) >= 0);
"""

DROP = """
ALTER TABLE ingest_gpu_sample
    DROP CONSTRAINT gpu_sample_health_not_negative,
    DROP COLUMN memory_reserved_bytes,
    DROP COLUMN ecc_corrected,
    DROP COLUMN remapped_corrected,
    DROP COLUMN remapped_uncorrected,
    DROP COLUMN remap_pending,
    DROP COLUMN remap_failed,
    DROP COLUMN xid_errors,
    DROP COLUMN last_xid,
    DROP COLUMN process_count,
    DROP COLUMN is_mig,
    DROP COLUMN is_lost;
"""

QUARTER = {
    "memory_reserved_bytes_max": models.BigIntegerField(null=True),
    "power_limit_w": models.FloatField(null=True),
    "reasons_s": models.FloatField(null=True),
    "throttled_s": models.FloatField(null=True),
    "power_cap_s": models.FloatField(null=True),
    "thermal_s": models.FloatField(null=True),
    "power_brake_s": models.FloatField(null=True),
    "lost_s": models.FloatField(null=True),
    "ecc_corrected": models.BigIntegerField(null=True),
    "ecc_uncorrected": models.BigIntegerField(null=True),
    "remapped_rows": models.BigIntegerField(null=True),
    "remap_pending": models.BooleanField(null=True),
    "remap_failed": models.BooleanField(null=True),
    "xid_errors": models.BigIntegerField(null=True),
    "last_xid": models.IntegerField(null=True),
}

STATE = {
    "told_at": models.DateTimeField(null=True),
    "process_count": models.IntegerField(null=True),
    "is_mig": models.BooleanField(null=True),
    "is_lost": models.BooleanField(default=False, db_default=False),
}


def id_field():
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def of_gpu(related_name):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.CASCADE, related_name=related_name, to="ingest.gpu"
    )


class Migration(migrations.Migration):
    dependencies = [("ingest", "0010_error_counts")]

    operations = [
        migrations.RunSQL(COLUMNS, DROP),
        *(migrations.AddField("gpuquarter", name, field) for name, field in QUARTER.items()),
        *(migrations.AddField("gpu", name, field) for name, field in STATE.items()),
        migrations.CreateModel(
            name="MigInstance",
            fields=[
                ("id", id_field()),
                ("uuid", models.TextField()),
                ("profile", models.TextField(blank=True)),
                ("gpu_instance_id", models.IntegerField(null=True)),
                ("compute_instance_id", models.IntegerField(null=True)),
                ("memory_used_bytes", models.BigIntegerField(null=True)),
                ("memory_total_bytes", models.BigIntegerField(null=True)),
                ("memory_reserved_bytes", models.BigIntegerField(null=True)),
                ("gpu", of_gpu("mig_instances")),
            ],
            options={
                "ordering": ["gpu_instance_id", "compute_instance_id", "uuid"],
                "constraints": [
                    models.UniqueConstraint(fields=("gpu", "uuid"), name="mig_instance_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="GpuProcess",
            fields=[
                ("id", id_field()),
                ("pid", models.BigIntegerField()),
                ("name", models.TextField(blank=True)),
                ("mig_uuid", models.TextField(blank=True)),
                ("memory_used_bytes", models.BigIntegerField(null=True)),
                ("gpu", of_gpu("processes")),
            ],
            options={
                "ordering": [
                    models.OrderBy(
                        models.F("memory_used_bytes"), descending=True, nulls_last=True
                    ),
                    "pid",
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("gpu", "pid", "mig_uuid"), name="gpu_process_once"
                    )
                ],
            },
        ),
    ]
