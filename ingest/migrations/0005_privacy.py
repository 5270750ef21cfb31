"""What is kept of a prompt beside its hash, the vendor's own usage, and text where it is kept."""

import django.core.validators
from django.db import migrations, models

TABLES = """
ALTER TABLE ingest_span
    ADD COLUMN raw_usage jsonb,
    ADD COLUMN parameters_hash bytea,
    ADD COLUMN prompt_signature bytea,
    ADD COLUMN removable_tokens bigint CONSTRAINT span_removable_not_negative
        CHECK (removable_tokens >= 0);

CREATE TABLE ingest_span_text (
    project_id integer NOT NULL,
    day date NOT NULL,
    key uuid NOT NULL,
    version bigint NOT NULL,
    texts jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, day, key)
) PARTITION BY RANGE (day);
"""

DROP = """
DROP TABLE ingest_span_text;
ALTER TABLE ingest_span
    DROP COLUMN raw_usage, DROP COLUMN parameters_hash, DROP COLUMN prompt_signature,
    DROP COLUMN removable_tokens;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ingest', '0004_user_days'),
    ]

    operations = [
        migrations.AddField(
            model_name='project',
            name='text_days',
            field=models.PositiveSmallIntegerField(db_default=30, default=30, help_text='How many days kept text stays after it came in.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3650)]),
        ),
        migrations.CreateModel(
            name='SpanText',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'day', 'key', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('day', models.DateField()),
                ('key', models.UUIDField()),
                ('version', models.BigIntegerField()),
                ('texts', models.JSONField(help_text='Text by the name it came under.')),
                ('received_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'ingest_span_text',
                'managed': False,
            },
        ),
        migrations.RunSQL(TABLES, DROP),
    ]
