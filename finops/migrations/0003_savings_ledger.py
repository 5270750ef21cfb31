"""The savings ledger, and how hardware is billed. The ledger can be added to and read only.

The second guard keeps time from being booked twice: of realised entries of one change that nothing
supersedes, no two may share a moment. Its lock makes two bookings at once one after the other.
"""

import django.db.models.deletion
import django.db.models.functions.math
import django.db.models.lookups
from django.conf import settings
from django.db import migrations, models


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

    dependencies = [
        ('finops', '0002_audit_is_append_only'),
        ('ingest', '0002_partitioned_tables'),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=20)),
                ('counts_as', models.CharField(help_text='An adjustment counts as what it supersedes; others as their kind.', max_length=20)),
                ('revision', models.PositiveIntegerField(default=1)),
                ('change_ref', models.CharField(blank=True, help_text='Whoever books says which change; empty for a cost.', max_length=100)),
                ('title', models.CharField(max_length=200)),
                ('period_from', models.DateTimeField()),
                ('period_to', models.DateTimeField()),
                ('measured_s', models.FloatField(help_text='The part of the period with all facts.', null=True)),
                ('capacity_gpu_seconds', models.FloatField(null=True)),
                ('capacity_gpu_seconds_low', models.FloatField(null=True)),
                ('capacity_gpu_seconds_high', models.FloatField(null=True)),
                ('cash', models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ('cash_low', models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ('cash_high', models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ('currency', models.CharField(blank=True, max_length=20)),
                ('billed_by', models.CharField(blank=True, help_text='As it was in the period.', max_length=5)),
                ('requests', models.BigIntegerField(null=True)),
                ('gpu_seconds_per_request', models.FloatField(help_text='As it was, or is expected.', null=True)),
                ('counterfactual_gpu_seconds_per_request', models.FloatField(help_text='As it would have been without the change.', null=True)),
                ('provisional', models.BooleanField(default=False)),
                ('method_version', models.PositiveIntegerField(default=0)),
                ('basis', models.TextField(help_text='What it rests on, in words for people.')),
                ('facts_hash', models.BinaryField(max_length=32)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'ledger entries',
                'ordering': ['-period_from', '-id'],
            },
        ),
        migrations.AddField(
            model_name='hardwareprice',
            name='billed_by',
            field=models.CharField(choices=[('hours', 'the hour, busy or not'), ('use', 'use, only while busy')], default='hours', help_text='Every hour it is held, or only the time in which it works (serverless).', max_length=5),
        ),
        migrations.AddConstraint(
            model_name='hardwareprice',
            constraint=models.CheckConstraint(condition=models.Q(('billed_by__in', ['hours', 'use'])), name='hardware_price_billed_by_known'),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='book',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='finops.pricebook'),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='pool',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingest.pool'),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingest.project'),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='supersedes',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='superseded_by', to='finops.ledgerentry'),
        ),
        migrations.AddIndex(
            model_name='ledgerentry',
            index=models.Index(fields=['change_ref', 'period_from'], name='ledger_change'),
        ),
        migrations.AddIndex(
            model_name='ledgerentry',
            index=models.Index(fields=['period_from', 'period_to'], name='ledger_period'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['adjustment', 'estimate', 'programme_cost', 'realised'])), name='ledger_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('counts_as__in', ['estimate', 'programme_cost', 'realised'])), name='ledger_counts_as_known'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', models.F('counts_as')), ('revision', 1), ('supersedes__isnull', True)), models.Q(('kind', 'adjustment'), ('revision__gt', 1), ('supersedes__isnull', False)), _connector='OR'), name='ledger_adjustment_supersedes'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('period_from__lt', models.F('period_to'))), name='ledger_period_forward'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('cash__isnull', True), models.Q(('currency', ''), _negated=True), _connector='OR'), name='ledger_cash_has_currency'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('counts_as', 'programme_cost'), models.Q(('change_ref', ''), _negated=True), _connector='OR'), name='ledger_saving_has_change'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('capacity_gpu_seconds__isnull', True), ('capacity_gpu_seconds_high__isnull', True), ('capacity_gpu_seconds_low__isnull', True)), models.Q(('capacity_gpu_seconds__isnull', False), ('capacity_gpu_seconds_high__isnull', False), ('capacity_gpu_seconds_low__isnull', False), ('capacity_gpu_seconds_high__gte', models.F('capacity_gpu_seconds')), ('capacity_gpu_seconds_low__lte', models.F('capacity_gpu_seconds'))), _connector='OR'), name='ledger_capacity_gpu_seconds_told'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cash__isnull', True), ('cash_high__isnull', True), ('cash_low__isnull', True)), models.Q(('cash__isnull', False), ('cash_high__isnull', False), ('cash_low__isnull', False), ('cash_high__gte', models.F('cash')), ('cash_low__lte', models.F('cash'))), _connector='OR'), name='ledger_cash_told'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('cash__isnull', True), models.Q(('cash__gt', -1000000000000), ('cash__lt', 1000000000000)), _connector='OR'), name='ledger_cash_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('cash_low__isnull', True), models.Q(('cash_low__gt', -1000000000000), ('cash_low__lt', 1000000000000)), _connector='OR'), name='ledger_cash_low_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('cash_high__isnull', True), models.Q(('cash_high__gt', -1000000000000), ('cash_high__lt', 1000000000000)), _connector='OR'), name='ledger_cash_high_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('capacity_gpu_seconds__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('capacity_gpu_seconds')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='ledger_capacity_gpu_seconds_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('capacity_gpu_seconds_low__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('capacity_gpu_seconds_low')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='ledger_capacity_gpu_seconds_low_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('capacity_gpu_seconds_high__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('capacity_gpu_seconds_high')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='ledger_capacity_gpu_seconds_high_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('gpu_seconds_per_request__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('gpu_seconds_per_request')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='ledger_gpu_seconds_per_request_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('counterfactual_gpu_seconds_per_request__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('counterfactual_gpu_seconds_per_request')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='ledger_counterfactual_gpu_seconds_per_request_finite'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.UniqueConstraint(condition=models.Q(('counts_as', 'programme_cost'), _negated=True), fields=('change_ref', 'counts_as', 'period_from', 'period_to', 'revision'), name='ledger_once'),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
