"""Readings of metrics and GPUs. A pool owns them, not a project."""

from django.db import models


class Series(models.Model):
    """One Prometheus series: a metric name with its labels."""

    pool = models.ForeignKey("ingest.Pool", on_delete=models.CASCADE)
    name = models.TextField()
    kind = models.TextField()
    unit = models.TextField(blank=True)
    labels = models.JSONField(default=dict)
    fingerprint = models.BinaryField(max_length=16)
    first_seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "fingerprint"], name="series_once")]
        indexes = [models.Index(fields=["pool", "name"], name="series_name")]

    def __str__(self) -> str:
        return self.name


class MetricSample(models.Model):
    """The table itself is made by migration 0002, partitioned by `day`."""

    pk = models.CompositePrimaryKey("pool_id", "day", "series_id", "at")
    pool_id = models.IntegerField()
    day = models.DateField()
    series_id = models.BigIntegerField()
    at = models.DateTimeField()
    value = models.FloatField()

    class Meta:
        managed = False
        db_table = "ingest_metric_sample"


class Gpu(models.Model):
    pool = models.ForeignKey("ingest.Pool", on_delete=models.CASCADE, related_name="gpus")
    uuid = models.TextField()
    host = models.TextField()
    index = models.IntegerField()
    name = models.TextField()
    memory_total_bytes = models.BigIntegerField(null=True)
    simulated = models.BooleanField(default=False)
    last_seen_at = models.DateTimeField()
    # As the newest reading that told of processes and slices has it.
    told_at = models.DateTimeField(null=True)
    process_count = models.IntegerField(null=True)
    is_mig = models.BooleanField(null=True)
    is_lost = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "uuid"], name="gpu_once")]
        ordering = ["host", "index"]

    def __str__(self) -> str:
        return f"{self.host} GPU {self.index} ({self.name})"


class MigInstance(models.Model):
    """A slice of a GPU, as last told; NVML knows no utilisation of it."""

    gpu = models.ForeignKey(Gpu, on_delete=models.CASCADE, related_name="mig_instances")
    uuid = models.TextField()
    profile = models.TextField(blank=True)
    gpu_instance_id = models.IntegerField(null=True)
    compute_instance_id = models.IntegerField(null=True)
    memory_used_bytes = models.BigIntegerField(null=True)
    memory_total_bytes = models.BigIntegerField(null=True)
    memory_reserved_bytes = models.BigIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["gpu", "uuid"], name="mig_instance_once")]
        ordering = ["gpu_instance_id", "compute_instance_id", "uuid"]

    def __str__(self) -> str:
        return self.profile or self.uuid


class GpuProcess(models.Model):
    """Who uses a GPU, as last told: the processes that hold most of its memory."""

    gpu = models.ForeignKey(Gpu, on_delete=models.CASCADE, related_name="processes")
    pid = models.BigIntegerField()
    name = models.TextField(blank=True)
    mig_uuid = models.TextField(blank=True)
    memory_used_bytes = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gpu", "pid", "mig_uuid"], name="gpu_process_once")
        ]
        ordering = [models.F("memory_used_bytes").desc(nulls_last=True), "pid"]

    def __str__(self) -> str:
        return self.name or f"process {self.pid}"


class GpuSample(models.Model):
    """The table itself is made by migration 0002, partitioned by `day`."""

    pk = models.CompositePrimaryKey("pool_id", "day", "gpu_id", "at")
    pool_id = models.IntegerField()
    day = models.DateField()
    gpu_id = models.BigIntegerField()
    at = models.DateTimeField()
    utilization_pct = models.FloatField(null=True)
    memory_used_bytes = models.BigIntegerField(null=True)
    power_w = models.FloatField(null=True)
    power_limit_w = models.FloatField(null=True)
    energy_mj = models.BigIntegerField(null=True)
    sm_clock_mhz = models.IntegerField(null=True)
    temperature_c = models.FloatField(null=True)
    clock_event_reasons = models.BigIntegerField(null=True)
    ecc_uncorrected = models.BigIntegerField(null=True)
    memory_reserved_bytes = models.BigIntegerField(null=True)
    ecc_corrected = models.BigIntegerField(null=True)
    remapped_corrected = models.IntegerField(null=True)
    remapped_uncorrected = models.IntegerField(null=True)
    remap_pending = models.BooleanField(null=True)
    remap_failed = models.BooleanField(null=True)
    xid_errors = models.IntegerField(null=True)
    last_xid = models.IntegerField(null=True)
    process_count = models.IntegerField(null=True)
    is_mig = models.BooleanField(null=True)
    is_lost = models.BooleanField(default=False)

    class Meta:
        managed = False
        db_table = "ingest_gpu_sample"
