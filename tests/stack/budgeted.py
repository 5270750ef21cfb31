"""What the test of a budget needs in a stack that runs: for `manage shell`, in its environment.

Prints one line of JSON: the push token, and the id of the channel.
"""

from __future__ import annotations

import json
from decimal import Decimal

from django.utils import timezone

from finops.actions import budgets, connections
from finops.actions.channels import managing
from finops.models import Message
from tests.factories.finops import person
from tests.stubs.slack import CONFIG, SECRET

AMOUNT = Decimal(1)
"""Dollars; the first span costs more."""


def begin() -> None:
    asha = person("asha", "analyst")
    source = connections.connect(
        connections.NewSource(kind="otlp", name="Traces", project="Search"),
        by=None,
        via="command",
    )
    _, token = connections.issue_push_token(source, "test", by=None, via="command")
    app = managing.NewChannel(kind="slack_app", name="#finops", config=CONFIG, secret=SECRET)
    channel, _ = managing.add(app, by=None, via="command")
    wanted = budgets.Draft(
        name="Search",
        owner="asha",
        scope={"project": [source.project.slug]},
        basis="usage",
        currency="USD",
        period="monthly",
        starts_on=timezone.now().date().replace(day=1),
        amount_kind="fixed",
        amount=AMOUNT,
        thresholds=(
            budgets.Threshold(
                percent=Decimal(100),
                basis="actual",
                severity="critical",
                channel_ids=(channel.pk,),
            ),
        ),
    )
    budgets.add(wanted, by=asha, via="command")
    print(json.dumps({"token": token, "channel": channel.pk}))


def told() -> None:
    """Of each message its attempts, the oldest first: what went wrong, or nothing."""
    found = Message.objects.order_by("pk")
    print(
        json.dumps(
            [
                [one.alert_id, one.state, [log.problem for log in one.log.order_by("pk")]]
                for one in found
            ]
        )
    )
