"""The savings ledger can be added to and read only.

The second guard keeps time from being booked twice: of realised entries of one change that nothing
supersedes, no two may share a moment. Its lock makes two bookings at once one after the other.
"""

from django.db import migrations

GUARD = """
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The savings ledger is append-only: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON finops_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_is_not_emptied BEFORE TRUNCATE ON finops_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

CREATE FUNCTION ledger_books_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger:' || NEW.change_ref, 0));
    IF EXISTS (
        SELECT FROM finops_ledgerentry e
        WHERE e.change_ref = NEW.change_ref AND e.counts_as = 'realised'
            AND e.period_from < NEW.period_to AND e.period_to > NEW.period_from
            AND e.id IS DISTINCT FROM NEW.supersedes_id
            AND NOT EXISTS (SELECT FROM finops_ledgerentry s WHERE s.supersedes_id = e.id)
    ) THEN
        RAISE EXCEPTION 'This time of % is booked already.', NEW.change_ref
            USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_books_once BEFORE INSERT ON finops_ledgerentry
    FOR EACH ROW WHEN (NEW.counts_as = 'realised') EXECUTE FUNCTION ledger_books_once();
"""

UNGUARD = """
DROP TRIGGER ledger_is_append_only ON finops_ledgerentry;
DROP TRIGGER ledger_is_not_emptied ON finops_ledgerentry;
DROP TRIGGER ledger_books_once ON finops_ledgerentry;
DROP FUNCTION ledger_is_append_only();
DROP FUNCTION ledger_books_once();
"""


class Migration(migrations.Migration):
    dependencies = [("finops", "0002_audit_is_append_only")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
