"""What each user used in a day; days summed before this are due at once."""

from django.db import migrations, models

DUE = """
INSERT INTO ingest_user_day_state (project_id, day, changed, summed)
SELECT DISTINCT project_id, day, 1, 0 FROM ingest_span_day
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0003_late_facts'),
    ]

    operations = [
        migrations.CreateModel(
            name='UserDay',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'day', 'user_id', 'service', 'kind', 'provider', 'model', 'tier', 'input_band', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('day', models.DateField()),
                ('user_id', models.TextField()),
                ('service', models.TextField()),
                ('kind', models.TextField()),
                ('provider', models.TextField()),
                ('model', models.TextField()),
                ('tier', models.TextField()),
                ('input_band', models.IntegerField()),
                ('spans', models.BigIntegerField()),
                ('errors', models.BigIntegerField()),
                ('usage_unknown', models.BigIntegerField()),
                ('input_tokens', models.BigIntegerField()),
                ('cache_read_tokens', models.BigIntegerField()),
                ('cache_write_5m_tokens', models.BigIntegerField()),
                ('cache_write_1h_tokens', models.BigIntegerField()),
                ('output_tokens', models.BigIntegerField()),
                ('reasoning_tokens', models.BigIntegerField()),
                ('audio_input_tokens', models.BigIntegerField()),
                ('audio_output_tokens', models.BigIntegerField()),
                ('image_input_tokens', models.BigIntegerField()),
            ],
            options={
                'db_table': 'ingest_user_day',
            },
        ),
        migrations.CreateModel(
            name='UserDayState',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('day', models.DateField()),
                ('changed', models.BigIntegerField()),
                ('summed', models.BigIntegerField()),
                ('not_before', models.DateTimeField(help_text='When it may be summed again; empty: at once.', null=True)),
            ],
            options={
                'db_table': 'ingest_user_day_state',
                'indexes': [models.Index(condition=models.Q(('changed', models.F('summed')), _negated=True), fields=['not_before'], name='user_day_due')],
            },
        ),
        migrations.RunSQL(DUE, migrations.RunSQL.noop),
    ]
