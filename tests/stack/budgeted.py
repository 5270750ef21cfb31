"""What the test of a budget needs in a stack that runs: for `manage shell`, in its environment.

Prints one line of JSON: the push token, and the id of the channel.
"""

from __future__ import annotations

import json
import time
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


ANSWERED_WITHIN_S = 20.0


def told() -> None:
    """Of each message its attempts, the oldest first: what went wrong, or nothing.

    Once the first of them is sent, or will not be any more: a process for each look would cost
    seconds.
    """
    found = Message.objects.order_by("pk")
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    while not found.filter(state="sent").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    print(
        json.dumps(
            [
                [one.alert_id, one.state, [log.problem for log in one.log.order_by("pk")]]
                for one in found
            ]
        )
    )
