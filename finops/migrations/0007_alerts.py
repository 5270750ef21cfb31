"""Alerts, their history that nobody can rewrite, the rules of telling, and silences."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


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

    dependencies = [
        ('finops', '0006_channels'),
        ('ingest', '0013_replays'),
    ]

    operations = [
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=20)),
                ('key', models.CharField(help_text='What it is about, to its producer.', max_length=300)),
                ('severity', models.CharField(max_length=10)),
                ('title', models.CharField(max_length=300)),
                ('text', models.TextField()),
                ('path', models.CharField(help_text='The page where it is seen.', max_length=1000)),
                ('figures', models.JSONField(default=dict, help_text='Name → value, in words for people.')),
                ('channel_ids', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), blank=True, default=list, help_text='Empty: those that the rule of its kind names.', size=None)),
                ('state', models.CharField(default='open', max_length=20)),
                ('opened_at', models.DateTimeField()),
                ('last_seen_at', models.DateTimeField()),
                ('times_seen', models.BigIntegerField(default=1)),
                ('waiting_since', models.DateTimeField(help_text='When it last began to wait for somebody: opened, came back, or grew worse.')),
                ('told_at', models.DateTimeField(help_text='When channels were last told to look.', null=True)),
                ('escalated_at', models.DateTimeField(null=True)),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('snoozed_until', models.DateTimeField(null=True)),
                ('resolved_at', models.DateTimeField(null=True)),
                ('why', models.TextField(blank=True, help_text='Why it is resolved.')),
                ('holds', models.BooleanField(default=True, help_text='What it tells of was still so when its producer last looked.')),
                ('acknowledged_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(help_text='Empty: for members of the organisation.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingest.project')),
                ('resolved_by', models.ForeignKey(help_text='Empty: it ended by itself.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-opened_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='AlertEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('act', models.CharField(max_length=20)),
                ('severity', models.CharField(help_text='As it was then.', max_length=10)),
                ('at', models.DateTimeField()),
                ('by_name', models.CharField(blank=True, help_text='Empty: nobody, by itself.', max_length=150)),
                ('note', models.TextField(blank=True)),
                ('told', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), blank=True, default=list, help_text='The channels this was handed to.', size=None)),
                ('alert', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='finops.alert')),
                ('by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='AlertRule',
            fields=[
                ('kind', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('enabled', models.BooleanField(default=True, help_text='Off: alerts are kept and shown here, and nobody is told.')),
                ('severity', models.CharField(default='warning', max_length=10)),
                ('channel_ids', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), blank=True, default=list, size=None)),
                ('remind_every_s', models.PositiveIntegerField(help_text='Empty: never.', null=True)),
                ('escalate_after_s', models.PositiveIntegerField(help_text='Empty: never.', null=True)),
                ('escalation_channel_ids', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), blank=True, default=list, size=None)),
                ('changed_at', models.DateTimeField(null=True)),
                ('changed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['kind'],
            },
        ),
        migrations.CreateModel(
            name='Silence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(blank=True, help_text='Empty: every kind.', max_length=20)),
                ('key_pattern', models.CharField(blank=True, help_text='As in `source:*`; empty: every key.', max_length=300)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('why', models.CharField(max_length=500)),
                ('created_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(help_text='When somebody ended it early.', null=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('ended_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(blank=True, help_text='Empty: every alert, whatever its project.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingest.project')),
            ],
            options={
                'ordering': ['-starts_at', '-id'],
            },
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(fields=['-opened_at', '-id'], name='alert_newest'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(fields=['kind', 'key', '-id'], name='alert_key'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['project'], name='alert_open'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['anomaly', 'budget', 'drift', 'slo', 'source_lag', 'unpriced', 'verdict'])), name='alert_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('severity__in', ['critical', 'info', 'warning'])), name='alert_severity_known'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['acknowledged', 'open', 'resolved', 'snoozed'])), name='alert_state_known'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'resolved'), _negated=True), fields=('kind', 'key'), name='alert_once'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('key', ''), _negated=True), models.Q(('title', ''), _negated=True)), name='alert_says_what'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('times_seen__gte', 1)), name='alert_was_seen'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('last_seen_at__gte', models.F('opened_at'))), name='alert_seen_after_opened'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('snoozed_until__isnull', False), ('state', 'snoozed')), models.Q(models.Q(('state', 'snoozed'), _negated=True), ('snoozed_until', None)), _connector='OR'), name='alert_snoozed_until'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('resolved_at__isnull', False), ('state', 'resolved')), models.Q(models.Q(('state', 'resolved'), _negated=True), ('resolved_at', None), ('resolved_by', None), ('why', '')), _connector='OR'), name='alert_resolved_when'),
        ),
        migrations.AddConstraint(
            model_name='alertevent',
            constraint=models.CheckConstraint(condition=models.Q(('act__in', ['acknowledged', 'escalated', 'opened', 'reminded', 'resolved', 'returned', 'rose', 'snoozed', 'told_late'])), name='alertevent_act_known'),
        ),
        migrations.AddConstraint(
            model_name='alertrule',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['anomaly', 'budget', 'drift', 'slo', 'source_lag', 'unpriced', 'verdict'])), name='alertrule_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='alertrule',
            constraint=models.CheckConstraint(condition=models.Q(('severity__in', ['critical', 'info', 'warning'])), name='alertrule_severity_known'),
        ),
        migrations.AddConstraint(
            model_name='silence',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['', 'anomaly', 'budget', 'drift', 'slo', 'source_lag', 'unpriced', 'verdict'])), name='silence_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='silence',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='silence_forward'),
        ),
        migrations.AddConstraint(
            model_name='silence',
            constraint=models.CheckConstraint(condition=models.Q(('why', ''), _negated=True), name='silence_says_why'),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
