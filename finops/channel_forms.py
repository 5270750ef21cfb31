"""Forms of a channel. Knows fields and their sentences; refuses saving."""

from __future__ import annotations

from typing import Any

from django import forms

from finops.actions.channels import managing
from finops.models import Channel
from finops.models.channels import EMAIL, SLACK, SLACK_APP, WEBHOOK

URL_LENGTH = 2000


class SecretUrlField(forms.CharField):
    """Goes in and is never shown, not even with a form that was wrong."""

    def __init__(self) -> None:
        super().__init__(
            label="Webhook URL",
            max_length=URL_LENGTH,
            help_text="From Slack's page “Incoming Webhooks”, as in"
            " https://hooks.slack.com/services/… It is kept encrypted and never shown again.",
            widget=forms.PasswordInput({"autocomplete": "off", "spellcheck": "false"}),
        )


class SecretField(forms.CharField):
    """Goes in and is never shown, not even with a form that was wrong."""

    def __init__(self, label: str, help_text: str) -> None:
        super().__init__(
            label=label,
            max_length=300,
            help_text=f"{help_text} It is kept encrypted and never shown again.",
            widget=forms.PasswordInput({"autocomplete": "off", "spellcheck": "false"}),
        )


def slack_app_secrets() -> dict[str, SecretField]:
    return {
        "bot_token": SecretField(
            "Bot token", "From the app's page “OAuth & Permissions”; it begins with xoxb-."
        ),
        "signing_secret": SecretField("Signing secret", "From the app's page “Basic Information”."),
    }


class ChannelForm(forms.Form):
    """A new channel of one kind, or one that is there; of that one no secret is asked."""

    name = forms.CharField(
        max_length=managing.NAME_LENGTH,
        help_text="As people will see it, such as #finops or On-call bot.",
    )

    def __init__(self, kind: str, channel: Channel | None, *args: Any, **kwargs: Any):
        initial = {"name": channel.name, **_shown(channel)} if channel else {}
        super().__init__(*args, initial=initial, **kwargs)
        self.kind = kind
        if kind == SLACK and channel is None:
            self.fields["url"] = SecretUrlField()
        if kind == SLACK_APP:
            self._of_slack_app(channel)
        if kind == WEBHOOK:
            self.fields["url"] = forms.CharField(
                label="URL",
                max_length=URL_LENGTH,
                help_text="Where the messages are posted, as in https://bot.example.com/breakeven.",
            )
        if kind == EMAIL:
            self.fields["to"] = forms.CharField(
                label="Addresses",
                max_length=5000,
                help_text="One a line, or separated by commas.",
                widget=forms.Textarea({"rows": 4, "spellcheck": "false"}),
            )

    def _of_slack_app(self, channel: Channel | None) -> None:
        self.fields["channel"] = forms.CharField(
            label="Slack channel",
            max_length=30,
            help_text="Its ID, as in C0123ABCD: at the end of the channel's details in Slack.",
        )
        self.fields["app_id"] = forms.CharField(
            label="App ID",
            max_length=30,
            help_text="As in A0123ABCD, from the app's page “Basic Information”.",
        )
        if channel is None:
            self.fields |= slack_app_secrets()

    def config(self) -> dict[str, Any]:
        """What may be shown."""
        given = self.cleaned_data
        if self.kind == SLACK_APP:
            return {"channel": given["channel"], "app_id": given["app_id"]}
        if self.kind == EMAIL:
            words = given["to"].replace(",", "\n").splitlines()
            return {"to": [word.strip() for word in words if word.strip()]}
        return {"url": given["url"]} if self.kind == WEBHOOK else {}

    def secret(self) -> dict[str, Any]:
        given = self.cleaned_data
        if self.kind == SLACK_APP:
            return {name: given[name] for name in ("bot_token", "signing_secret")}
        return {"url": given["url"]} if self.kind == SLACK else {}

    def refuse(self, refused: managing.Refused) -> None:
        self.add_error(refused.field if refused.field in self.fields else None, refused.message)


def _shown(channel: Channel) -> dict[str, str]:
    config = dict(channel.config)
    if "to" in config:
        config["to"] = "\n".join(config["to"])
    return config


class NewSecretForm(forms.Form):
    """Another secret for a channel of Slack: a webhook's URL, or an app's token and secret."""

    def __init__(self, kind: str, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields |= slack_app_secrets() if kind == SLACK_APP else {"url": SecretUrlField()}

    def refuse(self, refused: managing.Refused) -> None:
        self.add_error(refused.field if refused.field in self.fields else None, refused.message)
