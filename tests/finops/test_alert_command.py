"""`manage.py alert`."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from finops.actions import alerting
from finops.models import Alert, Audit, Silence
from tests.factories.ingest import ProjectFactory
from tests.finops.actions.alerting.make import NOON, finding

pytestmark = pytest.mark.django_db


def run(*words) -> str:
    out = StringIO()
    call_command(*map(str, words), stdout=out, stderr=out)
    return out.getvalue()


def test_list_shows_what_is_not_resolved():
    project = ProjectFactory(slug="chat")
    alert = alerting.raise_(finding(project_id=project.pk), NOON)
    alerting.raise_(finding(key="source:2"), NOON)
    alerting.resolve("source_lag", "source:2", "", NOON)
    line = f"{alert.ref} 2026-06-01 12:00 UTC warning open source_lag Langfuse is silent (chat)\n"
    assert run("alert", "list") == line
    assert run("alert", "list", "--project", "chat", "--kind", "source_lag") == line
    assert run("alert", "list", "--kind", "budget") == "No alerts.\n"
    assert run("alert", "list", "--state", "resolved").endswith("(whole organisation)\n")


def test_list_as_json_is_one_object_a_line():
    alert = alerting.raise_(finding(figures={"Silent": "1 h"}), NOON)
    told = json.loads(run("alert", "list", "--json"))
    assert (told["alert_id"], told["key"], told["figures"]) == (
        alert.ref, "source:1", {"Silent": "1 h"},
    )  # fmt: skip


def test_acknowledge_is_audited_as_the_command():
    alert = alerting.raise_(finding(), NOON)
    assert run("alert", "acknowledge", alert.ref).startswith(f"Acknowledged: {alert.ref} ")
    assert Alert.objects.get().state == "acknowledged"
    assert list(Audit.objects.values_list("action", "actor_name", "via")) == [
        ("alert.acknowledge", "system", "command")
    ]


def test_acknowledge_of_no_alert_says_where_they_are():
    with pytest.raises(CommandError, match=r"no alert A-9; `alert list`"):
        run("alert", "acknowledge", "A-9")


def test_silence_from_now():
    ProjectFactory(slug="chat")
    said = run("alert", "silence", "--why", "Move", "--hours", "2", "--project", "chat",
               "--kind", "source_lag", "--key", "source:*")  # fmt: skip
    held = Silence.objects.get()
    assert said == f"Silent until {held.ends_at:%Y-%m-%d %H:%M} UTC: Move\n"
    assert (held.kind, held.key_pattern, held.project.slug) == ("source_lag", "source:*", "chat")
    assert timedelta(0) <= held.ends_at - timezone.now() <= timedelta(hours=2)


@pytest.mark.parametrize("words", [("--hours", "0"), ("--hours", "x"), ("--project", "none")])
def test_silence_refuses_what_makes_no_sense(words):
    usual = {"--why": "Move", "--hours": "1"} | {words[0]: words[1]}
    with pytest.raises(CommandError):
        run("alert", "silence", *(word for pair in usual.items() for word in pair))
