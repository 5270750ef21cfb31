"""Channels, the outbox of messages to them and the log of attempts, which nobody can rewrite."""

import django.db.models.deletion
import django.db.models.functions.math
import django.db.models.lookups
from django.conf import settings
from django.db import migrations, models


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

    dependencies = [
        ('finops', '0005_repricing'),
    ]

    operations = [
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=20)),
                ('name', models.CharField(max_length=100)),
                ('config', models.JSONField(default=dict, help_text='What may be shown, such as addresses.')),
                ('secret', models.BinaryField(help_text='Encrypted JSON; never shown again.', null=True)),
                ('state', models.CharField(default='active', max_length=10)),
                ('state_reason', models.CharField(blank=True, help_text='Why it is off.', max_length=500)),
                ('state_at', models.DateTimeField()),
                ('paused_until', models.DateTimeField(help_text='The receiver asked for no message before this time.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(unique=True)),
                ('alert_id', models.CharField(max_length=100)),
                ('event', models.CharField(max_length=20)),
                ('at', models.DateTimeField(help_text='When the told thing happened.')),
                ('payload', models.JSONField()),
                ('state', models.CharField(default='waiting', max_length=15)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('waiting_since', models.DateTimeField(help_text='Attempts end a day after it.')),
                ('next_try_at', models.DateTimeField()),
                ('epoch', models.PositiveIntegerField(default=0, help_text='Counts the leases; a holder of an older one may not write.')),
                ('lease_holder', models.CharField(blank=True, max_length=100)),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('last_problem', models.CharField(blank=True, max_length=500)),
                ('channel', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='messages', to='finops.channel')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('epoch', models.PositiveIntegerField()),
                ('at', models.DateTimeField()),
                ('delivered', models.BooleanField()),
                ('status_code', models.PositiveIntegerField(null=True)),
                ('retry_after_s', models.FloatField(help_text='As the receiver asked.', null=True)),
                ('duration_ms', models.FloatField(help_text='Unknown where the worker was killed.', null=True)),
                ('problem', models.CharField(blank=True, max_length=500)),
                ('response_excerpt', models.CharField(blank=True, max_length=300)),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='log', to='finops.message')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['email', 'slack_webhook', 'webhook'])), name='channel_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['active', 'disabled', 'removed'])), name='channel_state_known'),
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.CheckConstraint(condition=models.Q(('state', 'active'), models.Q(('state_reason', ''), _negated=True), _connector='OR'), name='channel_off_says_why'),
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'removed'), _negated=True), ('secret__isnull', True), _connector='OR'), name='channel_removed_has_no_secret'),
        ),
        migrations.AddConstraint(
            model_name='channel',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'removed'), _negated=True), fields=('name',), name='channel_name_once'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['channel', 'id'], name='message_waiting'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['channel', '-id'], name='message_log'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['failed', 'not_delivered', 'sent', 'waiting'])), name='message_state_known'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.UniqueConstraint(fields=('channel', 'alert_id', 'event', 'at'), name='message_once'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'sent'), _negated=True), ('sent_at__isnull', False), _connector='OR'), name='message_sent_says_when'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(fields=('message', 'epoch'), name='attempt_once'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('delivered', True), ('problem', '')), models.Q(('delivered', False), models.Q(('problem', ''), _negated=True)), _connector='OR'), name='attempt_says_what'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('retry_after_s__isnull', True), ('retry_after_s__gte', 0), _connector='OR'), name='attempt_retry_after_s_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('duration_ms__isnull', True), ('duration_ms__gte', 0), _connector='OR'), name='attempt_duration_ms_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('retry_after_s__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('retry_after_s')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='attempt_retry_after_s_finite'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('duration_ms__isnull', True), django.db.models.lookups.LessThan(django.db.models.functions.math.Abs(models.F('duration_ms')), models.Value(1e+300, output_field=models.FloatField())), _connector='OR'), name='attempt_duration_ms_finite'),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
