"""What became of an alert is added to, and nobody can rewrite it."""

from django.db import migrations

GUARD = """
CREATE FUNCTION alert_history_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What became of an alert is never rewritten: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER alert_history_stays BEFORE UPDATE OR DELETE ON finops_alertevent
    FOR EACH STATEMENT EXECUTE FUNCTION alert_history_stays();
"""

UNGUARD = """
DROP TRIGGER alert_history_stays ON finops_alertevent;
DROP FUNCTION alert_history_stays();
"""


class Migration(migrations.Migration):
    replaces = [("finops", "0007_alerts")]
    dependencies = [("finops", "0004_attempts_stay_as_written")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
