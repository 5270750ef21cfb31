"""The doors by which alerts leave: one file per kind, and the register of them."""

from finops.channels.base import Sender
from finops.channels.email import Email
from finops.channels.slack import Slack
from finops.channels.slack_app import SlackApp
from finops.channels.webhook import Webhook

SENDERS: dict[str, Sender] = {
    sender.kind: sender for sender in (Slack(), SlackApp(), Webhook(), Email())
}
