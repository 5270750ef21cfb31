"""Slack's app: threads, whose user is whose, presses. Alerts that come and go are one alert."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

ACTS = [
    "acknowledged",
    "escalated",
    "opened",
    "reminded",
    "reopened",
    "resolved",
    "returned",
    "rose",
    "settled",
    "snoozed",
    "told_late",
]
KINDS = ["email", "slack_app", "slack_webhook", "webhook"]


def key():
    return (
        "id",
        models.BigAutoField(
            auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
        ),
    )


def channel(related_name):
    return (
        "channel",
        models.ForeignKey(
            on_delete=django.db.models.deletion.PROTECT,
            related_name=related_name,
            to="finops.channel",
        ),
    )


class Migration(migrations.Migration):
    dependencies = [
        ("finops", "0012_exchange"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="channel", name="channel_kind_known"),
        migrations.AddConstraint(
            model_name="channel",
            constraint=models.CheckConstraint(
                condition=Q(("kind__in", KINDS)), name="channel_kind_known"
            ),
        ),
        migrations.RemoveConstraint(model_name="alertevent", name="alertevent_act_known"),
        migrations.AddConstraint(
            model_name="alertevent",
            constraint=models.CheckConstraint(
                condition=Q(("act__in", ACTS)), name="alertevent_act_known"
            ),
        ),
        migrations.AlterField(
            model_name="audit",
            name="via",
            field=models.CharField(
                help_text="page, api, admin, command, slack or system.", max_length=20
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="swings",
            field=models.PositiveIntegerField(
                default=0,
                help_text="How often it was over and came again within the quiet time.",
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="swung_at",
            field=models.DateTimeField(help_text="When it last came again.", null=True),
        ),
        migrations.AddField(
            model_name="alert",
            name="is_flapping",
            field=models.BooleanField(
                default=False,
                help_text="Channels were told so, and hear of it when it holds still.",
            ),
        ),
        migrations.AddField(
            model_name="alertrule",
            name="quiet_s",
            field=models.PositiveIntegerField(
                default=900,
                help_text="Over and back within this time: the same alert. Empty: a new one each"
                " time.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="SlackThread",
            fields=[
                key(),
                ("alert_id", models.CharField(max_length=100)),
                (
                    "ts",
                    models.CharField(help_text="Slack's name of the first message.", max_length=40),
                ),
                (
                    "shown_at",
                    models.DateTimeField(help_text="When what the first message shows happened."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                channel("threads"),
            ],
        ),
        migrations.CreateModel(
            name="SlackLink",
            fields=[
                key(),
                (
                    "team_id",
                    models.CharField(help_text="Slack's id of the workspace.", max_length=30),
                ),
                ("slack_user_id", models.CharField(max_length=30)),
                (
                    "slack_name",
                    models.CharField(help_text="As Slack told it then.", max_length=100),
                ),
                ("linked_at", models.DateTimeField()),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="slack_links",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ["-linked_at", "-id"]},
        ),
        migrations.CreateModel(
            name="SlackLinkCode",
            fields=[
                key(),
                ("code_sha256", models.BinaryField(max_length=32, unique=True)),
                ("team_id", models.CharField(max_length=30)),
                ("slack_user_id", models.CharField(max_length=30)),
                ("slack_name", models.CharField(max_length=100)),
                ("expires_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="SlackPress",
            fields=[
                key(),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("team_id", models.CharField(max_length=30)),
                ("slack_user_id", models.CharField(max_length=30)),
                ("slack_name", models.CharField(max_length=100)),
                ("alert_id", models.CharField(max_length=100)),
                ("act", models.CharField(max_length=20)),
                ("at", models.DateTimeField()),
                ("outcome", models.CharField(default="waits", max_length=10)),
                ("done_at", models.DateTimeField(null=True)),
                channel("presses"),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.AddConstraint(
            model_name="slackthread",
            constraint=models.UniqueConstraint(
                fields=("channel", "alert_id"), name="slack_thread_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="slacklink",
            constraint=models.UniqueConstraint(
                fields=("team_id", "slack_user_id"), name="slack_user_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="slackpress",
            constraint=models.CheckConstraint(
                condition=Q(("act__in", ["acknowledge", "snooze"])), name="slackpress_act_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="slackpress",
            constraint=models.CheckConstraint(
                condition=Q(("outcome__in", ["done", "late", "refused", "unknown", "waits"])),
                name="slackpress_outcome_known",
            ),
        ),
        migrations.AddIndex(
            model_name="slackpress",
            index=models.Index(
                condition=Q(("outcome", "waits")), fields=["id"], name="slack_press_waits"
            ),
        ),
    ]
