"""Spans that come after their day was closed, and who was counted by then. Added to, never edited."""

import django.contrib.postgres.fields
from django.db import migrations, models

GUARD = """
CREATE FUNCTION late_span_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Late spans are adjustments and stay as they came: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER late_span_is_append_only BEFORE UPDATE OR DELETE ON ingest_late_span
    FOR EACH STATEMENT EXECUTE FUNCTION late_span_is_append_only();
"""

UNGUARD = """
DROP TRIGGER late_span_is_append_only ON ingest_late_span;
DROP FUNCTION late_span_is_append_only();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0002_partitioned_tables'),
    ]

    operations = [
        migrations.CreateModel(
            name='SealedKeys',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('day', models.DateField()),
                ('without_usage', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('with_usage', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('parents', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, help_text='Spans with a child that reports usage, so that theirs is counted already.', size=None)),
            ],
            options={
                'db_table': 'ingest_sealed_keys',
            },
        ),
        migrations.AddField(
            model_name='sealedday',
            name='keeps_keys',
            field=models.BooleanField(db_default=False, help_text='Whether it is remembered which spans were counted; see SealedKeys.'),
        ),
        migrations.CreateModel(
            name='LateQuarter',
            fields=[
                ('project_id', models.IntegerField()),
                ('service', models.TextField()),
                ('kind', models.TextField()),
                ('provider', models.TextField()),
                ('model', models.TextField()),
                ('tier', models.TextField()),
                ('input_band', models.IntegerField()),
                ('spans', models.BigIntegerField()),
                ('errors', models.BigIntegerField()),
                ('usage_unknown', models.BigIntegerField()),
                ('input_tokens', models.BigIntegerField(default=0)),
                ('cache_read_tokens', models.BigIntegerField(default=0)),
                ('cache_write_5m_tokens', models.BigIntegerField(default=0)),
                ('cache_write_1h_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField(default=0)),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('audio_input_tokens', models.BigIntegerField(default=0)),
                ('audio_output_tokens', models.BigIntegerField(default=0)),
                ('image_input_tokens', models.BigIntegerField(default=0)),
                ('source_cost_usd', models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ('source_cost_spans', models.BigIntegerField(default=0)),
                ('latency_count', models.BigIntegerField(default=0)),
                ('latency_ms_sum', models.FloatField(default=0)),
                ('latency_keys', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None)),
                ('latency_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('ttft_count', models.BigIntegerField(default=0)),
                ('ttft_ms_sum', models.FloatField(default=0)),
                ('ttft_keys', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None)),
                ('ttft_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('pk', models.CompositePrimaryKey('project_id', 'at', 'service', 'kind', 'provider', 'model', 'tier', 'input_band', blank=True, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
            ],
            options={
                'db_table': 'ingest_late_quarter',
                'indexes': [models.Index(fields=['at'], name='late_quarter_at')],
            },
        ),
        migrations.CreateModel(
            name='LateSpan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('project_id', models.IntegerField()),
                ('key', models.UUIDField()),
                ('source_id', models.IntegerField()),
                ('version', models.BigIntegerField()),
                ('trace_id', models.TextField()),
                ('span_id', models.TextField()),
                ('parent_key', models.UUIDField(null=True)),
                ('started_at', models.DateTimeField()),
                ('service', models.TextField()),
                ('kind', models.TextField()),
                ('provider', models.TextField()),
                ('model', models.TextField()),
                ('tier', models.TextField()),
                ('input_band', models.IntegerField()),
                ('status', models.TextField()),
                ('latency_ms', models.FloatField(null=True)),
                ('ttft_ms', models.FloatField(null=True)),
                ('input_tokens', models.BigIntegerField(null=True)),
                ('cache_read_tokens', models.BigIntegerField(null=True)),
                ('cache_write_5m_tokens', models.BigIntegerField(null=True)),
                ('cache_write_1h_tokens', models.BigIntegerField(null=True)),
                ('output_tokens', models.BigIntegerField(null=True)),
                ('reasoning_tokens', models.BigIntegerField(null=True)),
                ('audio_input_tokens', models.BigIntegerField(null=True)),
                ('audio_output_tokens', models.BigIntegerField(null=True)),
                ('image_input_tokens', models.BigIntegerField(null=True)),
                ('source_cost_usd', models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ('usage_counted', models.BooleanField(help_text='The sums hold its usage already, at the span above or below it.')),
                ('arrived_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'ingest_late_span',
                'indexes': [models.Index(fields=['project_id', 'key', '-id'], name='late_span_newest'), models.Index(fields=['project_id', 'started_at'], name='late_span_started'), models.Index(fields=['project_id', 'parent_key'], name='late_span_parent'), models.Index(fields=['source_id'], name='late_span_source')],
            },
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
