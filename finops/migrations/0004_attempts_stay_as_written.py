"""What came of sending a message is logged, and nobody can rewrite it."""

from django.db import migrations

GUARD = """
CREATE FUNCTION attempt_stays_as_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What came of sending a message is never rewritten: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER attempt_stays_as_written BEFORE UPDATE ON finops_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION attempt_stays_as_written();
"""

UNGUARD = """
DROP TRIGGER attempt_stays_as_written ON finops_attempt;
DROP FUNCTION attempt_stays_as_written();
"""


class Migration(migrations.Migration):
    replaces = [("finops", "0006_channels")]
    dependencies = [("finops", "0003_savings_ledger")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
