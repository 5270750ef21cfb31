"""Four eyes, kept by the database whatever door a row comes through.

- The proposer an approval names is the change's own (a foreign key over both columns), and never
  the approver (the CHECK of migration 0001).
- Nobody who edited the change approves it, and nobody who has approved it edits it.
- An approval names the plan hash the change has now, and is only ever voided.
- A rollout begins only with as many valid approvals of its plan as the change's policy asks for.
"""

from django.db import migrations

GUARD = """
ALTER TABLE optimiser_approval ADD CONSTRAINT approval_names_the_proposer
    FOREIGN KEY (change_id, proposer_id) REFERENCES optimiser_change (id, proposer_id);

CREATE FUNCTION approval_is_proper() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change optimiser_change%ROWTYPE;
BEGIN
    SELECT * INTO change FROM optimiser_change WHERE id = NEW.change_id FOR UPDATE;
    IF EXISTS (SELECT FROM optimiser_changeeditor
               WHERE change_id = NEW.change_id AND editor_id = NEW.approver_id) THEN
        RAISE EXCEPTION 'Whoever edited a change does not approve it.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF change.state <> 'proposed' THEN
        RAISE EXCEPTION 'Only a proposed change can be decided on; this one is %.', change.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF change.plan_hash <> NEW.plan_hash OR change.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'The plan has moved or expired since it was read.'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.voided_at IS NOT NULL THEN
        RAISE EXCEPTION 'A decision is not void from the start.' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_is_proper BEFORE INSERT ON optimiser_approval
    FOR EACH ROW EXECUTE FUNCTION approval_is_proper();

CREATE FUNCTION approval_is_only_voided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
        AND (OLD.id, OLD.change_id, OLD.proposer_id, OLD.approver_id, OLD.plan_hash, OLD.decision,
             OLD.comment, OLD.via, OLD.at)
        = (NEW.id, NEW.change_id, NEW.proposer_id, NEW.approver_id, NEW.plan_hash, NEW.decision,
           NEW.comment, NEW.via, NEW.at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'A decision is voided, never changed or removed: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER approval_is_only_voided BEFORE UPDATE OR DELETE ON optimiser_approval
    FOR EACH ROW EXECUTE FUNCTION approval_is_only_voided();

CREATE FUNCTION editor_has_not_approved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM optimiser_change WHERE id = NEW.change_id FOR UPDATE;
    IF EXISTS (SELECT FROM optimiser_approval WHERE change_id = NEW.change_id
               AND approver_id = NEW.editor_id AND voided_at IS NULL) THEN
        RAISE EXCEPTION 'Whoever approved a change does not edit it.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER editor_has_not_approved BEFORE INSERT ON optimiser_changeeditor
    FOR EACH ROW EXECUTE FUNCTION editor_has_not_approved();

CREATE FUNCTION editor_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Who edited a change is not forgotten: % refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER editor_stays BEFORE UPDATE OR DELETE ON optimiser_changeeditor
    FOR EACH ROW EXECUTE FUNCTION editor_stays();

CREATE FUNCTION change_keeps_its_proposer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.proposer_id <> OLD.proposer_id OR NEW.target_id <> OLD.target_id THEN
        RAISE EXCEPTION 'A change keeps its proposer and its target.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.plan_hash <> OLD.plan_hash AND EXISTS (
            SELECT FROM optimiser_approval WHERE change_id = OLD.id AND voided_at IS NULL) THEN
        RAISE EXCEPTION 'A plan does not move under its approvals; void them first.'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.plan_hash = OLD.plan_hash AND (NEW.desired_config, NEW.live_config, NEW.policy)
            IS DISTINCT FROM (OLD.desired_config, OLD.live_config, OLD.policy) THEN
        RAISE EXCEPTION 'What was sealed changes only with a new plan hash.'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER change_keeps_its_proposer BEFORE UPDATE ON optimiser_change
    FOR EACH ROW EXECUTE FUNCTION change_keeps_its_proposer();

CREATE FUNCTION rollout_is_approved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change optimiser_change%ROWTYPE;
    agreed integer;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (OLD.change_id, OLD.target_id, OLD.plan_hash)
                <> (NEW.change_id, NEW.target_id, NEW.plan_hash) THEN
            RAISE EXCEPTION 'A rollout keeps the change, target and plan it was begun for.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO change FROM optimiser_change WHERE id = NEW.change_id FOR UPDATE;
    SELECT count(DISTINCT approver_id) INTO agreed FROM optimiser_approval
        WHERE change_id = NEW.change_id AND plan_hash = change.plan_hash
        AND decision = 'approve' AND voided_at IS NULL;
    IF NEW.plan_hash <> change.plan_hash OR NEW.target_id <> change.target_id
            OR change.expires_at <= clock_timestamp()
            OR agreed < (change.policy ->> 'approvals')::integer THEN
        RAISE EXCEPTION 'A rollout needs the approvals of exactly its plan.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rollout_is_approved BEFORE INSERT OR UPDATE ON optimiser_rollout
    FOR EACH ROW EXECUTE FUNCTION rollout_is_approved();
"""

UNGUARD = """
DROP TRIGGER rollout_is_approved ON optimiser_rollout;
DROP FUNCTION rollout_is_approved();
DROP TRIGGER change_keeps_its_proposer ON optimiser_change;
DROP FUNCTION change_keeps_its_proposer();
DROP TRIGGER editor_stays ON optimiser_changeeditor;
DROP FUNCTION editor_stays();
DROP TRIGGER editor_has_not_approved ON optimiser_changeeditor;
DROP FUNCTION editor_has_not_approved();
DROP TRIGGER approval_is_only_voided ON optimiser_approval;
DROP FUNCTION approval_is_only_voided();
DROP TRIGGER approval_is_proper ON optimiser_approval;
DROP FUNCTION approval_is_proper();
ALTER TABLE optimiser_approval DROP CONSTRAINT approval_names_the_proposer;
"""


class Migration(migrations.Migration):
    dependencies = [("optimiser", "0001_tables")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
