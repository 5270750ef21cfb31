"""Channels from the command line: `manage.py channel list | add | test`."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finops.actions.channels import managing
from finops.actions.channels.managing import NewChannel, Refused
from finops.channels import SENDERS
from finops.files import write_private
from finops.models.channels import EMAIL, SLACK, SLACK_APP, WEBHOOK
from finops.queries import channels as queries

ASKED_FOR = {
    SLACK: (("url", "Webhook URL"),),
    SLACK_APP: (("bot_token", "Bot token"), ("signing_secret", "Signing secret")),
}
"""Secrets of a kind: an argument is seen by everybody on the machine."""


class Command(BaseCommand):
    help = "See, add and test the channels by which people hear of alerts."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        to_do = parser.add_subparsers(dest="what", required=True)
        to_do.add_parser("list", help="Every channel, its state, what waits and what is kept.")
        new = to_do.add_parser("add", help="Add a channel.")
        new.add_argument("kind", choices=SENDERS)
        new.add_argument("name", help="As people will see it.")
        new.add_argument("--url", help="Of a webhook. Slack's is a secret, and is asked for.")
        new.add_argument("--to", action="append", default=[], help="A mail address; repeatable.")
        new.add_argument("--slack-channel", help="Of a Slack app: the ID of the Slack channel.")
        new.add_argument("--app-id", help="Of a Slack app. Its token and secret are asked for.")
        new.add_argument("--key-file", type=Path, help="Where the signing key goes, mode 0600.")
        test = to_do.add_parser("test", help="Send a test message.")
        test.add_argument("name", help="Its name.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['what']}")(options)
        except Refused as refused:
            raise CommandError(f"{refused.field}: {refused.message}") from refused

    def do_list(self, options: dict[str, Any]) -> None:
        for row in queries.channel_list():
            channel = row.channel
            state = f"{channel.state}: {channel.state_reason}".removesuffix(": ")
            counts = f"{row.waiting} waiting, {row.not_delivered} not delivered"
            self.stdout.write("\t".join((channel.name, channel.kind, state, counts)))

    def do_add(self, options: dict[str, Any]) -> None:
        kind, url = options["kind"], options["url"]
        if kind == SLACK and url:
            # An argument is seen by everybody on the machine.
            raise CommandError("Leave --url out: Slack's is a secret and is asked for.")
        app = {"channel": options["slack_channel"], "app_id": options["app_id"]}
        config = {
            WEBHOOK: {"url": url or ""},
            EMAIL: {"to": options["to"]},
            SLACK: {},
            SLACK_APP: app,
        }[kind]
        secret = {name: asked_for(label) for name, label in ASKED_FOR.get(kind, ())}
        new = NewChannel(kind=kind, name=options["name"], config=config, secret=secret)
        channel, key = managing.add(new, by=None, via="command")
        self.stdout.write(f"“{channel.name}” is added.")
        if not key:
            return
        if options["key_file"] is None:
            self.stdout.write(f"Signing key (shown once): {key}")
        else:
            write_private(options["key_file"], key)
            self.stdout.write(f"Its signing key is in {options['key_file']}.")

    def do_test(self, options: dict[str, Any]) -> None:
        named = [row.channel for row in queries.channel_list()]
        channel = next((one for one in named if one.name == options["name"]), None)
        if channel is None:
            raise CommandError(f"There is no channel {options['name']}; check its name.")
        attempt = managing.send_test(channel, by=None, via="command")
        if not attempt.delivered:
            raise CommandError(f"It did not arrive. {attempt.problem}")
        self.stdout.write(f"The test message arrived at “{channel.name}”.")


def asked_for(label: str) -> str:
    if sys.stdin.isatty():
        return getpass(f"{label}: ")
    return sys.stdin.readline().rstrip("\r\n")
