"""Spans that came after their day was closed are added to, never edited."""

from django.db import migrations

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
    replaces = [("ingest", "0003_late_facts"), ("ingest", "0018_gpu_days")]
    dependencies = [("ingest", "0002_partitioned_tables")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
