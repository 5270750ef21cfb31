"""Rules of allocation, what they landed, and the statements frozen from it.

A statement and its lines can be added and read, nothing else, by whatever door.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

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
    dependencies = [
        ("finops", "0008_budgets"),
        ("ingest", "0014_charged_until"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AllocationRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("origin", models.CharField(help_text="bill or hardware", max_length=10)),
                (
                    "position",
                    models.PositiveIntegerField(
                        help_text="The first that meets a charge takes it."
                    ),
                ),
                (
                    "conditions",
                    models.JSONField(
                        default=list,
                        help_text="[{field, operator, values}]; all of them must hold.",
                    ),
                ),
                ("split", models.CharField(max_length=10)),
                ("valid_from", models.DateField(null=True)),
                ("last_day", models.DateField(null=True)),
                ("note", models.CharField(blank=True, max_length=300)),
                ("is_on", models.BooleanField(default=True)),
                (
                    "revision",
                    models.PositiveIntegerField(default=1, help_text="Grows with every change."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["position", "pk"],
            },
        ),
        migrations.CreateModel(
            name="AllocationTarget",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("percent", models.DecimalField(decimal_places=6, max_digits=9, null=True)),
            ],
            options={
                "ordering": ["rule", "project"],
            },
        ),
        migrations.CreateModel(
            name="Chargeback",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.DateField()),
                (
                    "number",
                    models.PositiveIntegerField(
                        help_text="1 is the statement, the others adjust it."
                    ),
                ),
                ("as_of", models.DateTimeField(help_text="Of the newest fact.", null=True)),
                (
                    "rules",
                    models.JSONField(help_text="[{id, name, revision}] of the rules in force."),
                ),
                ("rules_digest", models.CharField(max_length=40)),
                (
                    "book_version",
                    models.PositiveIntegerField(help_text="Newest price book then.", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=300)),
                ("closed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-month", "-number"],
            },
        ),
        migrations.CreateModel(
            name="ChargebackLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("project_name", models.CharField(max_length=100)),
                ("team", models.CharField(blank=True, max_length=100)),
                ("part", models.CharField(max_length=10)),
                ("rule_name", models.CharField(blank=True, max_length=100)),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38)),
                ("reconciled", models.DecimalField(decimal_places=20, max_digits=38)),
                ("currency", models.CharField(max_length=20)),
            ],
            options={
                "ordering": ["chargeback", "team", "project_name", "part", "rule_name", "currency"],
            },
        ),
        migrations.CreateModel(
            name="LandedBill",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("currency", models.TextField()),
                ("provider", models.TextField()),
                ("service", models.TextField()),
                ("sku", models.TextField()),
                ("why", models.TextField(blank=True)),
                ("lines", models.BigIntegerField()),
                ("billed_cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                (
                    "effective_cost",
                    models.DecimalField(decimal_places=20, default=0, max_digits=38),
                ),
                ("list_cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                (
                    "contracted_cost",
                    models.DecimalField(decimal_places=20, default=0, max_digits=38),
                ),
                ("unknown_billed", models.BigIntegerField(default=0)),
                ("unknown_effective", models.BigIntegerField(default=0)),
                ("unknown_list", models.BigIntegerField(default=0)),
                ("unknown_contracted", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="LandedHardware",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("pool_id", models.IntegerField()),
                ("at", models.DateTimeField()),
                ("model", models.TextField()),
                ("currency", models.TextField()),
                ("why", models.TextField(blank=True)),
                ("requests", models.FloatField(default=0)),
                ("allocated", models.DecimalField(decimal_places=20, max_digits=38)),
            ],
        ),
        migrations.CreateModel(
            name="Landing",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "origin",
                        "owner_id",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("origin", models.TextField()),
                ("owner_id", models.BigIntegerField(help_text="The bill's period, or the pool.")),
                ("day", models.DateField(help_text="The billing month, or the day.")),
                ("rules", models.TextField(help_text="Digest of the rules.")),
                ("inputs", models.TextField(help_text="What else it came from, as of then.")),
                ("landed_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="allocationrule",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="allocationtarget",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
            ),
        ),
        migrations.AddField(
            model_name="allocationtarget",
            name="rule",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="targets",
                to="finops.allocationrule",
            ),
        ),
        migrations.AddField(
            model_name="chargeback",
            name="closed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="chargebackline",
            name="chargeback",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="finops.chargeback",
            ),
        ),
        migrations.AddField(
            model_name="chargebackline",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
            ),
        ),
        migrations.AddField(
            model_name="chargebackline",
            name="rule",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="finops.allocationrule",
            ),
        ),
        migrations.AddField(
            model_name="landedbill",
            name="period",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="landed",
                to="ingest.deliveryperiod",
            ),
        ),
        migrations.AddField(
            model_name="landedbill",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
            ),
        ),
        migrations.AddField(
            model_name="landedbill",
            name="rule",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="finops.allocationrule",
            ),
        ),
        migrations.AddField(
            model_name="landedhardware",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
            ),
        ),
        migrations.AddField(
            model_name="landedhardware",
            name="rule",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="finops.allocationrule",
            ),
        ),
        migrations.AddConstraint(
            model_name="landing",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin__in", ["bill", "hardware"])),
                name="landing_origin_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocationrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin__in", ["bill", "hardware"])),
                name="allocationrule_origin_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocationrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("split__in", ["even", "one", "share", "telemetry", "usage"])),
                name="allocationrule_split_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocationrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at__isnull", True)),
                fields=("name",),
                name="allocationrule_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocationrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_from__isnull", True),
                    ("last_day__isnull", True),
                    ("last_day__gte", models.F("valid_from")),
                    _connector="OR",
                ),
                name="allocationrule_forward",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocationtarget",
            constraint=models.UniqueConstraint(
                fields=("rule", "project"), name="allocationtarget_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="allocationtarget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("percent__isnull", True),
                    models.Q(("percent__gt", 0), ("percent__lte", 100)),
                    _connector="OR",
                ),
                name="allocationtarget_percent_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargeback",
            constraint=models.UniqueConstraint(fields=("month", "number"), name="chargeback_once"),
        ),
        migrations.AddConstraint(
            model_name="chargeback",
            constraint=models.CheckConstraint(
                condition=models.Q(("month__day", 1), ("number__gte", 1)),
                name="chargeback_of_a_month",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargebackline",
            constraint=models.CheckConstraint(
                condition=models.Q(("part__in", ["bill", "hardware", "shared", "usage"])),
                name="chargebackline_part_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargebackline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__isnull", True),
                    models.Q(("amount__gt", -1000000000000), ("amount__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="chargebackline_amount_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargebackline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("reconciled__isnull", True),
                    models.Q(("reconciled__gt", -1000000000000), ("reconciled__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="chargebackline_reconciled_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargebackline",
            constraint=models.UniqueConstraint(
                fields=("chargeback", "project", "part", "rule", "currency"),
                name="chargebackline_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            model_name="landedbill",
            index=models.Index(fields=["day", "period"], name="landed_bill_day"),
        ),
        migrations.AddConstraint(
            model_name="landedbill",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("billed_cost__isnull", True),
                    models.Q(
                        ("billed_cost__gt", -1000000000000), ("billed_cost__lt", 1000000000000)
                    ),
                    _connector="OR",
                ),
                name="landed_bill_billed_cost_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="landedbill",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effective_cost__isnull", True),
                    models.Q(
                        ("effective_cost__gt", -1000000000000),
                        ("effective_cost__lt", 1000000000000),
                    ),
                    _connector="OR",
                ),
                name="landed_bill_effective_cost_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="landedbill",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("list_cost__isnull", True),
                    models.Q(("list_cost__gt", -1000000000000), ("list_cost__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="landed_bill_list_cost_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="landedbill",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("contracted_cost__isnull", True),
                    models.Q(
                        ("contracted_cost__gt", -1000000000000),
                        ("contracted_cost__lt", 1000000000000),
                    ),
                    _connector="OR",
                ),
                name="landed_bill_contracted_cost_finite",
            ),
        ),
        migrations.AddIndex(
            model_name="landedhardware",
            index=models.Index(fields=["at"], name="landed_hardware_at"),
        ),
        migrations.AddIndex(
            model_name="landedhardware",
            index=models.Index(fields=["pool_id", "at"], name="landed_hardware_pool"),
        ),
        migrations.AddConstraint(
            model_name="landedhardware",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("allocated__isnull", True),
                    models.Q(("allocated__gt", -1000000000000), ("allocated__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="landed_hardware_allocated_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="landedhardware",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("requests__isnull", True),
                    django.db.models.lookups.LessThan(
                        django.db.models.functions.math.Abs(models.F("requests")),
                        models.Value(1e300, output_field=models.FloatField()),
                    ),
                    _connector="OR",
                ),
                name="landed_hardware_requests_finite",
            ),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
