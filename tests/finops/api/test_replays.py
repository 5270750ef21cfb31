"""Refused rows tried again on the page, through the API and by a command."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from finops.models import Audit, User
from ingest import again, records, store
from ingest.models import Reject, Source, Span
from tests.ingest.make import span

pytestmark = pytest.mark.usefixtures("estate")

TOO_MANY = 3_000_000_000


@pytest.fixture
def source(db):
    found = Source.objects.get(kind="otlp", project__slug="support-chat")
    Reject.objects.filter(source=found).delete()
    bad = [span(n, trace_id=f"{n:032x}", input_tokens=TOO_MANY) for n in (7001, 7002)]
    store.spans(found, [*bad, span(7003, kind="robot")])
    return found


@pytest.fixture
def wider(monkeypatch):
    """The range is mended."""
    monkeypatch.setattr(records, "MAX_TOKENS", 4_000_000_000)


def taken() -> int:
    return Span.objects.filter(input_tokens=TOO_MANY).count()


def address(source, rest="") -> str:
    return f"/sources/{source.pk}/again{rest}"


# ---- the page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["asha", "dev", "ben", "cleo"])
def test_only_admins_try_rows_again(sign_in, source, wider, person):
    client = sign_in(person)
    assert client.get(address(source)).status_code == 403
    assert client.post(address(source), {"reason": ""}).status_code == 403
    assert "/again" not in client.get(f"/sources/{source.pk}").text
    assert taken() == 0


def test_nobody_signed_in_is_sent_to_the_door(source, plain_static):
    assert Client().post(address(source)).status_code == 302


def test_form_of_another_site_is_refused(source, wider, plain_static):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="ada"))
    assert client.post(address(source)).status_code == 403
    assert taken() == 0


def test_page_lists_reasons_with_their_rows_and_asks_before_it_tries(sign_in, source, wider):
    ada = sign_in("ada")
    html = ada.get(f"/sources/{source.pk}").text
    assert f"{address(source)}?reason=impossible_tokens" in html
    assert "Try all again" in html
    asked = ada.get(address(source, "?reason=impossible_tokens")).text
    assert "2 refused rows refused as “impossible tokens” will be read once more" in asked
    assert taken() == 0

    told = ada.post(address(source), {"reason": "impossible_tokens", "after": "0"}).text
    assert "2 of 2 rows taken now." in told
    assert taken() == 2
    wanted, came = Audit.objects.order_by("-id")[:2][::-1]
    assert (wanted.action, wanted.actor_name, wanted.via) == ("source.replay", "ada", "page")
    assert (came.action, came.detail["rows"]) == (
        "source.replayed", {"taken": 2, "refused": 0, "nothing_kept": 0, "left": 0},
    )  # fmt: skip
    # They are listed still, and count no more as in quarantine.
    assert Reject.objects.filter(source=source, state="taken").count() == 2
    assert ada.get(f"/sources/{source.pk}").text.count(">Taken now<") == 2


def test_one_row_is_tried_and_told_why_not(sign_in, source):
    row = Reject.objects.get(source=source, reason="unknown_kind")
    told = sign_in("ada").post(address(source), {"row": row.pk}).text
    assert "0 of 1 row taken now." in told
    assert "unknown kind" in told
    row.refresh_from_db()
    assert (row.state, row.tries) == ("refused", 1)


def test_many_rows_are_tried_in_parts(sign_in, source, wider, monkeypatch):
    monkeypatch.setattr(again, "MOST_AT_ONCE", 2)
    ada = sign_in("ada")
    told = ada.post(address(source), {"reason": ""}).text
    assert "1 are left" in told
    last = Reject.objects.filter(source=source, state="taken").latest("pk").pk
    assert f'name="after" value="{last}"' in told
    assert "Go on" in told
    rest = ada.post(address(source), {"reason": "", "after": str(last)}).text
    assert "Go on" not in rest


def test_nothing_to_try_is_said(sign_in, source):
    ada = sign_in("ada")
    assert "There is nothing to try" in ada.get(address(source, "?reason=no_such")).text
    assert "There was nothing to try" in ada.post(address(source), {"row": "999999"}).text


# ---- the API -----------------------------------------------------------------------------------


def test_api_tries_those_of_a_reason(by_token, source, wider):
    path = f"/api/v1/sources/{source.pk}/rejects"
    rows = by_token("cleo").get(path).json()["data"]
    assert [(row["state"], row["can_be_tried"], row["tries"]) for row in rows] == [
        ("refused", True, 0)
    ] * 3
    ada = by_token("ada", "write")
    answer = ada.post(f"{path}/replay", json.dumps({"reason": "impossible_tokens"}))
    assert answer.status_code == 200
    told = answer.json()
    assert (told["taken"], told["refused"], told["left"], told["still"]) == (2, 0, 0, [])
    again_told = ada.post(f"{path}/replay", "{}").json()
    assert (again_told["taken"], again_told["refused"]) == (0, 1)
    assert again_told["still"][0]["reason"] == "unknown_kind"
    assert (taken(), Audit.objects.filter(action="source.replay", via="api").count()) == (2, 2)


@pytest.mark.parametrize("body", ['{"row": 0}', '{"row": "x"}', '{"speed": 1}', "[]"])
def test_api_refuses_what_it_does_not_know(by_token, source, body):
    answer = by_token("ada", "write").post(f"/api/v1/sources/{source.pk}/rejects/replay", body)
    assert answer.status_code == 400


def test_token_that_only_reads_tries_nothing(by_token, source, wider):
    answer = by_token("ada").post(f"/api/v1/sources/{source.pk}/rejects/replay", "{}")
    assert (answer.status_code, taken()) == (403, 0)


# ---- the command -------------------------------------------------------------------------------


def test_command_says_what_came_of_it(source, wider, monkeypatch):
    monkeypatch.setattr(again, "MOST_AT_ONCE", 2)
    said = StringIO()
    call_command("replay_rejects", source.name, stdout=said)
    lines = said.getvalue().splitlines()
    assert lines[0] == "2 tried, 1 left."
    assert lines[1] == (
        "3 tried: 2 taken now, 1 still refused, 0 of which nothing was kept to try."
    )
    assert lines[2].startswith("  1 × unknown_kind: ")
    assert Audit.objects.filter(action="source.replay", via="command", actor=None).exists()


def test_command_takes_one_reason(source, wider):
    said = StringIO()
    call_command("replay_rejects", source.name, "--reason", "no_such", stdout=said)
    assert said.getvalue().strip() == "There was nothing to try: no such row is in quarantine."
    with pytest.raises(CommandError, match="There is no source Nobody"):
        call_command("replay_rejects", "Nobody")
