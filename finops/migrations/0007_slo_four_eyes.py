"""Four eyes on service level objectives, kept by the database whatever door a row comes through.

- The proposer a decision names is the proposal's own (a foreign key over both columns), and never
  the approver (the CHECK of migration 0001).
- Nobody who edited a proposal decides on it, and nothing moves once it is decided.
- A decision names the seal the proposal has now, while it is open.
- A version of an objective is exactly what an approved proposal said, and is never rewritten.
- An objective points to the newest of its own versions.
"""

from django.db import migrations

GUARD = """
ALTER TABLE finops_slodecision ADD CONSTRAINT slodecision_names_the_proposer
    FOREIGN KEY (proposal_id, proposer_id) REFERENCES finops_sloproposal (id, proposer_id);

CREATE FUNCTION slo_decision_is_proper() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    proposal finops_sloproposal%ROWTYPE;
BEGIN
    SELECT * INTO proposal FROM finops_sloproposal WHERE id = NEW.proposal_id FOR UPDATE;
    IF EXISTS (SELECT FROM finops_sloeditor
               WHERE proposal_id = NEW.proposal_id AND editor_id = NEW.approver_id) THEN
        RAISE EXCEPTION 'Whoever edited a proposal does not decide on it.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF proposal.state <> 'proposed' THEN
        RAISE EXCEPTION 'Only an open proposal can be decided on; this one is %.', proposal.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF proposal.plan_hash <> NEW.plan_hash OR proposal.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'The proposal has moved or expired since it was read.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slo_decision_is_proper BEFORE INSERT ON finops_slodecision
    FOR EACH ROW EXECUTE FUNCTION slo_decision_is_proper();

CREATE FUNCTION slo_history_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Versions, decisions and who edited what are never rewritten: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER slo_history_stays BEFORE UPDATE OR DELETE ON finops_slodecision
    FOR EACH ROW EXECUTE FUNCTION slo_history_stays();
CREATE TRIGGER slo_history_stays BEFORE UPDATE OR DELETE ON finops_sloeditor
    FOR EACH ROW EXECUTE FUNCTION slo_history_stays();
CREATE TRIGGER slo_history_stays BEFORE UPDATE OR DELETE ON finops_sloversion
    FOR EACH ROW EXECUTE FUNCTION slo_history_stays();

CREATE FUNCTION slo_editor_edits_what_is_open() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    proposal finops_sloproposal%ROWTYPE;
BEGIN
    SELECT * INTO proposal FROM finops_sloproposal WHERE id = NEW.proposal_id FOR UPDATE;
    IF proposal.state <> 'proposed' THEN
        RAISE EXCEPTION 'Nobody edits a proposal that is %.', proposal.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slo_editor_edits_what_is_open BEFORE INSERT ON finops_sloeditor
    FOR EACH ROW EXECUTE FUNCTION slo_editor_edits_what_is_open();

CREATE FUNCTION slo_proposal_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'proposed' THEN
        RAISE EXCEPTION 'A proposal that was decided stays as it is, and none is removed.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.proposer_id, NEW.project_id, NEW.act, NEW.based_on)
            IS DISTINCT FROM (OLD.proposer_id, OLD.project_id, OLD.act, OLD.based_on)
            OR (OLD.slo_id IS NOT NULL AND NEW.slo_id IS DISTINCT FROM OLD.slo_id) THEN
        RAISE EXCEPTION 'A proposal keeps its proposer and what it is about.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.plan_hash = OLD.plan_hash AND (NEW.definition, NEW.expires_at, NEW.revision)
            IS DISTINCT FROM (OLD.definition, OLD.expires_at, OLD.revision) THEN
        RAISE EXCEPTION 'What was sealed changes only with a new seal.'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'approved' AND NOT EXISTS (
            SELECT FROM finops_slodecision WHERE proposal_id = NEW.id AND decision = 'approve'
            AND plan_hash = NEW.plan_hash) THEN
        RAISE EXCEPTION 'A proposal is approved by a second person.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slo_proposal_is_kept BEFORE UPDATE OR DELETE ON finops_sloproposal
    FOR EACH ROW EXECUTE FUNCTION slo_proposal_is_kept();

CREATE FUNCTION slo_version_is_approved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    proposal finops_sloproposal%ROWTYPE;
    newest integer;
BEGIN
    SELECT * INTO proposal FROM finops_sloproposal WHERE id = NEW.proposal_id FOR UPDATE;
    SELECT coalesce(max(number), 0) INTO newest FROM finops_sloversion WHERE slo_id = NEW.slo_id;
    IF proposal.state <> 'approved' OR proposal.slo_id IS DISTINCT FROM NEW.slo_id
            OR proposal.definition IS DISTINCT FROM NEW.definition
            OR (proposal.act = 'retire') <> NEW.retires THEN
        RAISE EXCEPTION 'A version is exactly what an approved proposal said.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF proposal.based_on <> newest OR NEW.number <> newest + 1 THEN
        RAISE EXCEPTION 'The objective moved since it was proposed.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slo_version_is_approved BEFORE INSERT ON finops_sloversion
    FOR EACH ROW EXECUTE FUNCTION slo_version_is_approved();

CREATE FUNCTION slo_follows_its_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.current_id IS NOT NULL THEN
            RAISE EXCEPTION 'An objective begins without a version.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.project_id <> OLD.project_id OR NEW.current_id IS DISTINCT FROM (
            SELECT id FROM finops_sloversion WHERE slo_id = NEW.id
            ORDER BY number DESC LIMIT 1) THEN
        RAISE EXCEPTION 'An objective is its newest version, and keeps its project.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slo_follows_its_versions BEFORE INSERT OR UPDATE ON finops_slo
    FOR EACH ROW EXECUTE FUNCTION slo_follows_its_versions();
"""

UNGUARD = """
DROP TRIGGER slo_follows_its_versions ON finops_slo;
DROP FUNCTION slo_follows_its_versions();
DROP TRIGGER slo_version_is_approved ON finops_sloversion;
DROP FUNCTION slo_version_is_approved();
DROP TRIGGER slo_proposal_is_kept ON finops_sloproposal;
DROP FUNCTION slo_proposal_is_kept();
DROP TRIGGER slo_editor_edits_what_is_open ON finops_sloeditor;
DROP FUNCTION slo_editor_edits_what_is_open();
DROP TRIGGER slo_history_stays ON finops_sloversion;
DROP TRIGGER slo_history_stays ON finops_sloeditor;
DROP TRIGGER slo_history_stays ON finops_slodecision;
DROP FUNCTION slo_history_stays();
DROP TRIGGER slo_decision_is_proper ON finops_slodecision;
DROP FUNCTION slo_decision_is_proper();
ALTER TABLE finops_slodecision DROP CONSTRAINT slodecision_names_the_proposer;
"""


class Migration(migrations.Migration):
    replaces = [("finops", "0011_slos"), ("finops", "0019_hardware_by_day")]
    dependencies = [("finops", "0006_statements_are_frozen")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
