"""A statement and its lines can be added and read, nothing else, by whatever door."""

from django.db import migrations

GUARD = """
CREATE FUNCTION chargeback_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'A statement is never edited: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER chargeback_is_frozen BEFORE UPDATE OR DELETE ON finops_chargeback
    FOR EACH ROW EXECUTE FUNCTION chargeback_is_frozen();
CREATE TRIGGER chargebackline_is_frozen BEFORE UPDATE OR DELETE ON finops_chargebackline
    FOR EACH ROW EXECUTE FUNCTION chargeback_is_frozen();
"""

UNGUARD = """
DROP TRIGGER chargeback_is_frozen ON finops_chargeback;
DROP TRIGGER chargebackline_is_frozen ON finops_chargebackline;
DROP FUNCTION chargeback_is_frozen();
"""


class Migration(migrations.Migration):
    replaces = [("finops", "0009_allocation")]
    dependencies = [("finops", "0005_alert_history_stays")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
