"""What goes out, whatever is in it; and how waiting times are read."""

from __future__ import annotations

import re
import string
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from finops.actions.channels import delivery
from finops.channels import posting, slack
from finops.channels.base import EVENT_WORDS, Outgoing
from finops.channels.webhook import signature
from tests.stubs.receivers import block_kit_objections

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PLAIN = Outgoing(
    public_id="3b3f9b0e-0000-0000-0000-000000000000",
    alert_id="7",
    event="opened",
    severity="critical",
    title="Budget of search used up",
    text="Search spent 102 % of its month.",
    project="search",
    figures={},
    at=NOON,
    link="https://finops.example/alerts/7",
    attempt=1,
)
WILD = st.text(alphabet=string.printable + "<>&&&<!channel>é💸", max_size=300).map(
    lambda text: text * 20
)


@settings(deadline=None)
@given(title=WILD, text=WILD, figures=st.dictionaries(WILD, WILD, max_size=15))
def test_slack_would_take_whatever_a_notice_says(title, text, figures):
    message = replace(PLAIN, title=title, text=text, figures=figures)
    assert block_kit_objections(slack.payload_of(message)) == []


@pytest.mark.parametrize("event", EVENT_WORDS)
def test_slack_message_says_what_happened_and_where_to_look(event):
    payload = slack.payload_of(replace(PLAIN, event=event, figures={"Spent": "1,020.00 USD"}))
    header, section, fields, context, actions = payload["blocks"]
    assert header["text"]["text"].endswith(": Budget of search used up")
    assert section["text"]["text"] == "Search spent 102 % of its month."
    assert fields["fields"][0]["text"] == "*Spent*\n1,020.00 USD"
    assert context["elements"][0]["text"] == (
        f"{EVENT_WORDS[event]} · Critical · search · 2026-11-02 12:00 UTC · alert 7"
    )
    assert actions["elements"][0]["url"] == "https://finops.example/alerts/7"


def test_slack_message_mentions_nobody():
    message = replace(PLAIN, text="<!channel> <https://evil.example|click> & *so*")
    section = slack.payload_of(message)["blocks"][1]["text"]
    assert section == {
        "type": "mrkdwn",
        "text": "&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp; *so*",
        "verbatim": True,
    }


def test_slack_message_without_an_address_has_no_button():
    blocks = slack.payload_of(replace(PLAIN, link=""))["blocks"]
    assert "actions" not in [block["type"] for block in blocks]


def test_figures_beyond_the_limit_are_counted():
    figures = {f"Figure {n}": str(n) for n in range(45)}
    blocks = slack.payload_of(replace(PLAIN, figures=figures))["blocks"]
    assert sum(len(block.get("fields", ())) for block in blocks) == 40
    assert "5 more figures on its page" in blocks[-2]["elements"][0]["text"]


def test_entity_is_never_cut_in_two():
    assert slack.escaped("&&&", 12) == "&amp;&amp;…"
    assert slack.escaped("ab", 2) == "ab"


def test_signature_is_the_documented_one():
    """By openssl: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_x"""
    assert signature(b'{"a":1}', 1_700_000_000, ["whsec_x"]) == (
        "t=1700000000,v1=b3438763ab46d9634b9844c8722818eaf523f803db1327484c6067462a5fd6d1"
    )


def documented_check():
    """The very lines of docs/channels.md."""
    text = (Path(__file__).parents[3] / "docs" / "channels.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(
        compile(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], "channels.md", "exec"), names
    )
    return names["is_from_breakeven"]


def test_documented_check_of_a_signature_takes_ours_and_no_other():
    check, now_s, body = documented_check(), int(time.time()), b'{"a":1}'
    header = signature(body, now_s, ["new", "old"])
    assert check(header, body, "new")
    assert check(header, body, "old")
    assert not check(header, body, "other")
    assert not check(header, body + b" ", "new")
    assert not check(signature(body, now_s - 301, ["new"]), body, "new")
    for wrong in ("", "t=,v1=", "v1=x", f"t={now_s},t={now_s},v1=x", f"t={now_s},v1=\u00e9", "t=1"):
        assert not check(wrong, body, "new")


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("30", 30),
        (" 0 ", 0),
        ("Mon, 02 Nov 2026 12:01:30 GMT", 90),
        ("Monday, 02-Nov-26 12:01:30 GMT", 90),
        ("Mon, 02 Nov 2026 11:00:00 GMT", None),
        ("99999999999999999999", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, wait_s):
    assert posting.retry_after_s(header, NOON) == wait_s


@pytest.mark.parametrize(
    ("public_url", "origins", "expected"),
    [
        ("https://finops.example/base", [], "https://finops.example/base/alerts/7"),
        ("", ["https://*.example", "https://b.example"], "https://b.example/alerts/7"),
        ("", [], ""),
    ],
)
def test_link_is_absolute_or_absent(monkeypatch, public_url, origins, expected):
    monkeypatch.setattr(django_settings, "PUBLIC_URL", public_url)
    monkeypatch.setattr(django_settings, "CSRF_TRUSTED_ORIGINS", origins)
    assert delivery.link("/alerts/7") == expected
