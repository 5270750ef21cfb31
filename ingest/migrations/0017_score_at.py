"""Scores of one name in a span of time, without reading all of a project's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0016_weeks")]

    operations = [
        # The table may be large, and an index is made in one statement.
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="score",
            index=models.Index(fields=["project_id", "name", "at"], name="score_at"),
        ),
    ]
