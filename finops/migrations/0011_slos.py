"""Service level objectives with four eyes in the database, and watch rules.

- The proposer a decision names is the proposal's own (a foreign key over both columns), and never
  the approver (a CHECK).
- Nobody who edited a proposal decides on it, and nothing moves once it is decided.
- A decision names the seal the proposal has now, while it is open.
- A version of an objective is exactly what an approved proposal said, and is never rewritten.
- An objective points to the newest of its own versions.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

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
    dependencies = [
        ("finops", "0010_price_terms"),
        ("ingest", "0014_charged_until"),
    ]

    operations = [
        migrations.CreateModel(
            name="Slo",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="SloDecision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("plan_hash", models.CharField(max_length=64)),
                ("decision", models.CharField(max_length=10)),
                ("comment", models.TextField(blank=True)),
                ("via", models.CharField(max_length=10)),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["at", "pk"],
            },
        ),
        migrations.CreateModel(
            name="SloEditor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="SloProposal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("act", models.CharField(max_length=10)),
                ("definition", models.JSONField(help_text="The whole one that is wanted.")),
                (
                    "based_on",
                    models.PositiveIntegerField(
                        default=0, help_text="The version that was live; 0: there was none."
                    ),
                ),
                ("why", models.TextField(blank=True)),
                ("state", models.CharField(default="proposed", max_length=10)),
                ("revision", models.PositiveIntegerField(default=1)),
                ("plan_hash", models.CharField(max_length=64)),
                ("expires_at", models.DateTimeField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("why_closed", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["-created_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="SloVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("definition", models.JSONField()),
                (
                    "retires",
                    models.BooleanField(default=False, help_text="From here on it holds no more."),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["slo", "-number"],
            },
        ),
        migrations.CreateModel(
            name="WatchRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("metric", models.CharField(max_length=20)),
                (
                    "comparison",
                    models.CharField(help_text="below or above the threshold", max_length=10),
                ),
                (
                    "threshold",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="In the unit of the metric; empty: not given, and it is off.",
                        max_digits=20,
                        null=True,
                    ),
                ),
                (
                    "currency",
                    models.CharField(blank=True, help_text="Of a cost per request.", max_length=20),
                ),
                ("window_minutes", models.PositiveSmallIntegerField(default=15)),
                ("needed", models.PositiveSmallIntegerField(default=2)),
                ("of_last", models.PositiveSmallIntegerField(default=3)),
                (
                    "least_requests",
                    models.PositiveIntegerField(
                        default=50, help_text="A window with fewer says nothing."
                    ),
                ),
                (
                    "only_models",
                    models.JSONField(
                        default=list, help_text="Only these models; empty: all of them together."
                    ),
                ),
                ("urgency", models.CharField(max_length=10)),
                ("action", models.TextField(help_text="What to do about it.")),
                (
                    "path",
                    models.CharField(blank=True, help_text="The page to do it on.", max_length=200),
                ),
                ("is_on", models.BooleanField(default=True)),
                ("revision", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["name", "pk"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="alert",
            name="alert_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="alertrule",
            name="alertrule_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="silence",
            name="silence_kind_known",
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "anomaly",
                            "budget",
                            "drift",
                            "slo",
                            "source_lag",
                            "threshold",
                            "unpriced",
                            "verdict",
                        ],
                    )
                ),
                name="alert_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "anomaly",
                            "budget",
                            "drift",
                            "slo",
                            "source_lag",
                            "threshold",
                            "unpriced",
                            "verdict",
                        ],
                    )
                ),
                name="alertrule_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="silence",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "",
                            "anomaly",
                            "budget",
                            "drift",
                            "slo",
                            "source_lag",
                            "threshold",
                            "unpriced",
                            "verdict",
                        ],
                    )
                ),
                name="silence_kind_known",
            ),
        ),
        migrations.CreateModel(
            name="SloStatus",
            fields=[
                (
                    "slo",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="status",
                        serialize=False,
                        to="finops.slo",
                    ),
                ),
                ("version", models.PositiveIntegerField()),
                ("state", models.CharField(max_length=10)),
                ("why", models.TextField()),
                (
                    "severity",
                    models.CharField(blank=True, help_text="Of its alert.", max_length=10),
                ),
                ("good", models.BigIntegerField()),
                ("total", models.BigIntegerField()),
                ("unknown", models.BigIntegerField()),
                ("budget_left", models.DecimalField(decimal_places=6, max_digits=20, null=True)),
                ("burn_1h", models.DecimalField(decimal_places=6, max_digits=20, null=True)),
                ("as_of", models.DateTimeField(help_text="Of the newest fact.", null=True)),
                ("evaluated_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="slo",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
            ),
        ),
        migrations.AddField(
            model_name="slodecision",
            name="approver",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="slodecision",
            name="proposer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="sloeditor",
            name="editor",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="sloproposal",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
            ),
        ),
        migrations.AddField(
            model_name="sloproposal",
            name="proposer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="sloproposal",
            name="slo",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposals",
                to="finops.slo",
            ),
        ),
        migrations.AddField(
            model_name="sloeditor",
            name="proposal",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="editors",
                to="finops.sloproposal",
            ),
        ),
        migrations.AddField(
            model_name="slodecision",
            name="proposal",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="finops.sloproposal",
            ),
        ),
        migrations.AddField(
            model_name="sloversion",
            name="proposal",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="version",
                to="finops.sloproposal",
            ),
        ),
        migrations.AddField(
            model_name="sloversion",
            name="slo",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="finops.slo",
            ),
        ),
        migrations.AddField(
            model_name="slo",
            name="current",
            field=models.ForeignKey(
                help_text="The newest; empty only while its first one is written.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="finops.sloversion",
            ),
        ),
        migrations.AddField(
            model_name="watchrule",
            name="created_by",
            field=models.ForeignKey(
                help_text="Empty: it came with the installation.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="watchrule",
            name="project",
            field=models.ForeignKey(
                help_text="Empty: each project by itself.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ingest.project",
            ),
        ),
        migrations.AddConstraint(
            model_name="slostatus",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["burning", "exhausted", "met", "unknown"])),
                name="slostatus_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="slostatus",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("good__gte", 0), ("total__gte", models.F("good")), ("unknown__gte", 0)
                ),
                name="slostatus_counts",
            ),
        ),
        migrations.AddConstraint(
            model_name="slostatus",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("budget_left__isnull", True), ("budget_left__lte", 1), _connector="OR"
                ),
                name="slostatus_left_sane",
            ),
        ),
        migrations.AddIndex(
            model_name="sloproposal",
            index=models.Index(fields=["state", "-created_at"], name="sloproposal_state"),
        ),
        migrations.AddConstraint(
            model_name="sloproposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        ["approved", "expired", "proposed", "rejected", "void", "withdrawn"],
                    )
                ),
                name="sloproposal_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="sloproposal",
            constraint=models.CheckConstraint(
                condition=models.Q(("act__in", ["change", "create", "retire"])),
                name="sloproposal_act_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="sloproposal",
            constraint=models.UniqueConstraint(
                fields=("id", "proposer"), name="sloproposal_and_proposer"
            ),
        ),
        migrations.AddConstraint(
            model_name="sloproposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("act", "create"), ("based_on", 0)),
                    models.Q(
                        models.Q(("act", "create"), _negated=True),
                        ("based_on__gte", 1),
                        ("slo__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="sloproposal_is_based_on_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="sloeditor",
            constraint=models.UniqueConstraint(
                fields=("proposal", "editor"), name="sloeditor_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="slodecision",
            constraint=models.CheckConstraint(
                condition=models.Q(("decision__in", ["approve", "ask", "reject"])),
                name="slodecision_decision_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="slodecision",
            constraint=models.CheckConstraint(
                condition=models.Q(("approver", models.F("proposer")), _negated=True),
                name="slodecision_by_a_second_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="sloversion",
            constraint=models.UniqueConstraint(fields=("slo", "number"), name="sloversion_once"),
        ),
        migrations.AddConstraint(
            model_name="sloversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("number__gte", 1)), name="sloversion_counts_from_one"
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "metric__in",
                        [
                            "cache_hit",
                            "cost_per_request",
                            "error_rate",
                            "gpu_utilization",
                            "latency_mean",
                            "latency_p95",
                            "ttft_p95",
                        ],
                    )
                ),
                name="watchrule_metric_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("comparison__in", ["above", "below"])),
                name="watchrule_comparison_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("urgency__in", ["critical", "high", "low", "medium"])),
                name="watchrule_urgency_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("window_minutes__in", [15, 30, 60])),
                name="watchrule_window_minutes_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("threshold__isnull", False), ("is_on", False), _connector="OR"),
                name="watchrule_on_has_threshold",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("threshold__isnull", True),
                    models.Q(("threshold__gte", 0), ("threshold__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="watchrule_threshold_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("needed__gte", 1), ("needed__lte", models.F("of_last")), ("of_last__lte", 12)
                ),
                name="watchrule_needs_some_of_the_last",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("metric", "cost_per_request"), models.Q(("currency", ""), _negated=True)
                    ),
                    models.Q(
                        models.Q(("metric", "cost_per_request"), _negated=True), ("currency", "")
                    ),
                    _connector="OR",
                ),
                name="watchrule_cost_has_currency",
            ),
        ),
        migrations.AddConstraint(
            model_name="watchrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at__isnull", True)),
                fields=("name",),
                name="watchrule_name_once",
            ),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
