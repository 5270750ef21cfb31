"""The audit chain can be added to and read, nothing else, by whatever door."""

from django.db import migrations

GUARD = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit chain is append-only: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON finops_audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON finops_audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
"""

UNGUARD = """
DROP TRIGGER audit_is_append_only ON finops_audit;
DROP TRIGGER audit_is_not_emptied ON finops_audit;
DROP FUNCTION audit_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("finops", "0001_tables")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
