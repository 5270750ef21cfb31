"""One channel: its state, its messages and what came of them; test, switch, new secret, redeliver.

For admins alone. A new signing key is shown this once.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from finops.actions.channels import delivery, managing
from finops.actions.channels.outbox import TEST
from finops.channel_forms import NewSecretForm
from finops.channels import SENDERS
from finops.channels.base import EVENT_WORDS
from finops.models import Attempt, Message
from finops.models.channels import (
    ACTIVE,
    DISABLED,
    FAILED,
    MESSAGE_STATES,
    NOT_DELIVERED,
    REMOVED,
    SENT,
    SLACK,
    SLACK_APP,
    WAITING,
    WEBHOOK,
)
from finops.queries import channels as queries
from finops.queries.channels import ChannelRow
from finops.templatetags import words

from .connecting import demand
from .page import Action, Choice, View, needs, page
from .tables import NONE, Cell, Column, Row, Table, count_cell, csv_response, time_cell, words_cell

MANAGE = "finops.manage_channels"
GIVEN = (SLACK, SLACK_APP)
"""Kinds whose secret people bring; of a webhook it is made here."""
PAGE_SIZE = 50
EVERY_MESSAGE = 10_000
STATES = {
    WAITING: ("Waiting", "warn"),
    SENT: ("Sent", "good"),
    FAILED: ("Failed", "bad"),
    NOT_DELIVERED: ("Not delivered", "bad"),
}
MESSAGE_COLUMNS = (
    Column("Message"),
    Column("Event"),
    Column("When"),
    Column("State"),
    Column("Attempts", number=True),
    Column("Next attempt"),
    Column("Sent"),
    Column("What went wrong"),
)
ATTEMPT_COLUMNS = (
    Column("When"),
    Column("Outcome"),
    Column("Status", number=True),
    Column("Took", number=True),
    Column("Asked to wait", number=True),
    Column("What went wrong"),
    Column("Answer"),
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A signing key, this one time. `old_holds`: the one before signs beside it for a day."""

    text: str
    old_holds: bool = False


def found(pk: int) -> ChannelRow:
    row = queries.one(pk)
    if row is None:
        raise Http404("There is no such channel.")
    return row


@needs(MANAGE)
@require_safe
def show(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    return channel_page(View.of(request, "state", "cursor"), found(pk))


@needs(MANAGE)
@require_safe
def as_csv(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    view = View.of(request, "state")
    listed = queries.message_page(
        found(pk).channel, state=state_of(view), limit=EVERY_MESSAGE, cursor=None
    )
    return csv_response(message_table(listed.rows), f"channel-{pk}-messages.csv")


def state_of(view: View) -> str:
    state = view.extra.get("state", "")
    return state if state in MESSAGE_STATES else ""


def channel_page(
    view: View,
    row: ChannelRow,
    *,
    key: NewKey | None = None,
    slack_form: NewSecretForm | None = None,
    status: int = 200,
) -> HttpResponse:
    channel, state = row.channel, state_of(view)
    listed = queries.message_page(
        channel, state=state, limit=PAGE_SIZE, cursor=view.extra.get("cursor")
    )
    address = reverse("finops:channel", args=[channel.pk])
    is_there = channel.state != REMOVED
    here = f"{address}?state={state}"
    return page(
        view,
        "finops/channel.html",
        channel.name,
        lead=f"{SENDERS[channel.kind].label} channel.",
        crumbs=(("Channels", view.to("channels")),),
        actions=[Action("CSV", f"{address}.csv?state={state}", "download", download=True)]
        if listed.rows
        else [],
        with_bar=False,
        status=status,
        row=row,
        channel=channel,
        address=address,
        facts=facts(row),
        is_on=channel.state == ACTIVE,
        is_off=channel.state == DISABLED,
        is_there=is_there,
        key=key,
        is_webhook=channel.kind == WEBHOOK,
        slack_actions=actions_address(view) if channel.kind == SLACK_APP and is_there else "",
        slack_form=(slack_form or NewSecretForm(channel.kind))
        if channel.kind in GIVEN and is_there
        else None,
        secret_said="webhook URL" if channel.kind == SLACK else "token and signing secret",
        slack_form_is_open=slack_form is not None,
        table=message_table(listed.rows, state),
        states=[
            Choice("All", href=f"{address}?", current=not state),
            *(
                Choice(label, href=f"{address}?state={name}", current=state == name)
                for name, (label, _) in STATES.items()
            ),
        ],
        next_href=f"{here}&cursor={listed.next}" if listed.next else "",
        first_href=here if view.extra.get("cursor") else "",
        shown=f"{len(listed.rows)} messages on this page",
    )


def facts(row: ChannelRow) -> list[tuple[str, str]]:
    channel = row.channel
    said = [
        ("Where it goes", SENDERS[channel.kind].where(channel.config)),
        ("Last sent", words.when_text(row.last_sent_at) if row.last_sent_at else "never"),
        ("Waiting", f"{row.waiting:,}"),
        ("Not delivered", f"{row.not_delivered:,}"),
        ("Added", words.when_text(channel.created_at)),
        ("Added by", channel.created_by.get_username() if channel.created_by else "a command"),
    ]
    if channel.paused_until is not None and channel.state == ACTIVE:
        said.insert(2, ("No message before", words.when_text(channel.paused_until)))
    return said


def actions_address(view: View) -> str:
    """Where Slack tells of buttons, as the world reaches it."""
    path = reverse("finops:slack-actions")
    return delivery.link(path) or view.request.build_absolute_uri(path)


def message_table(rows: tuple[Message, ...], state: str = "") -> Table:
    return Table(
        "messages",
        "Messages, newest first",
        MESSAGE_COLUMNS,
        tuple(Row(message_cells(message)) for message in rows),
        empty=f"No message is {STATES[state][0].lower()}."
        if state
        else "No message yet. Send a test, or name this channel in a rule under Alerts.",
    )


def message_cells(message: Message) -> tuple[Cell, ...]:
    label, tone = STATES[message.state]
    href = reverse("finops:channel-message", args=[message.channel_id, message.pk])
    waits = message.state == WAITING
    return (
        words_cell(message.payload["title"], href=href, note=f"alert {message.alert_id}"),
        Cell(EVENT_WORDS[message.event], message.event),
        time_cell(message.at),
        Cell(label, message.state, tone=tone),
        count_cell(message.attempts),
        time_cell(message.next_try_at) if waits else NONE,
        time_cell(message.sent_at) if message.sent_at else NONE,
        words_cell(message.last_problem, prose=True) if message.last_problem else NONE,
    )


# One message


@needs(MANAGE)
@require_safe
def message(request: HttpRequest, pk: int, message_pk: int) -> HttpResponse:
    demand(request, MANAGE)
    view = View.of(request)
    one = message_of(pk, message_pk)
    address = reverse("finops:channel", args=[pk])
    made = queries.attempts(one)
    return page(
        view,
        "finops/channel_message.html",
        one.payload["title"],
        lead=f"{EVENT_WORDS[one.event]}, {words.when_text(one.at)}.",
        crumbs=(("Channels", view.to("channels")), (one.channel.name, address)),
        with_bar=False,
        message=one,
        state=STATES[one.state],
        facts=[
            ("Id, sent with each attempt", str(one.public_id)),
            ("Alert", one.alert_id),
            ("Text", one.payload["text"]),
            ("Written", words.when_text(one.created_at)),
            ("Attempts in all", f"{len(made):,}"),
        ],
        table=attempt_table(made),
        may_redeliver=one.channel.state == ACTIVE and one.state != WAITING and one.event != TEST,
    )


def message_of(pk: int, message_pk: int) -> Message:
    found = queries.message(pk, message_pk)
    if found is None:
        raise Http404("There is no such message of this channel.")
    return found


def attempt_table(rows: list[Attempt]) -> Table:
    return Table(
        "attempts",
        "Attempts, newest first",
        ATTEMPT_COLUMNS,
        tuple(Row(attempt_cells(attempt)) for attempt in rows),
        empty="Nothing was attempted yet.",
    )


def attempt_cells(attempt: Attempt) -> tuple[Cell, ...]:
    asked, took = attempt.retry_after_s, attempt.duration_ms
    status = attempt.status_code
    return (
        time_cell(attempt.at),
        Cell("Taken", "1", tone="good") if attempt.delivered else Cell("Failed", "0", tone="bad"),
        Cell(str(status), str(status)) if status is not None else NONE,
        Cell(words.duration(took), str(took)) if took is not None else NONE,
        Cell(words.seconds(asked), str(asked)) if asked is not None else NONE,
        words_cell(attempt.problem, prose=True) if attempt.problem else NONE,
        words_cell(attempt.response_excerpt, prose=True) if attempt.response_excerpt else NONE,
    )


# What may be done


@needs(MANAGE)
@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    channel = found(pk).channel
    try:
        attempt = managing.send_test(channel, by=request.user, via="page")
    except managing.Refused as refused:
        messages.error(request, refused.message)
    else:
        if attempt.delivered:
            messages.success(request, f"The test message arrived at “{channel.name}”.")
        else:
            messages.error(request, f"The test message did not arrive. {attempt.problem}")
    return back(pk)


@needs(MANAGE)
@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    channel = found(pk).channel
    wanted = request.POST.get("to", "")
    try:
        if wanted == "off":
            why = request.POST.get("why", "")
            managing.disable(channel, why, by=request.user, via="page")
            messages.success(request, f"“{channel.name}” is off. Messages to it are kept.")
        else:
            again = wanted == "on-and-send"
            count = managing.enable(channel, send_again=again, by=request.user, via="page")
            sent = f" {count:,} kept messages are sent now." if count else ""
            messages.success(request, f"“{channel.name}” is on.{sent}")
    except managing.Refused as refused:
        messages.error(request, refused.message)
    return back(pk)


@needs(MANAGE)
@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    view = View.of(request)
    channel = found(pk).channel
    form = NewSecretForm(channel.kind, request.POST) if channel.kind in GIVEN else None
    if form is not None and not form.is_valid():
        return channel_page(view, found(pk), slack_form=form, status=422)
    try:
        given = form.cleaned_data if form else {}
        key = managing.rotate(channel, given, by=request.user, via="page")
    except managing.Refused as refused:
        if form is None:
            messages.error(request, refused.message)
            return back(pk)
        form.refuse(refused)
        return channel_page(view, found(pk), slack_form=form, status=422)
    if key:
        return channel_page(view, found(pk), key=NewKey(key, old_holds=True), status=201)
    messages.success(request, f"“{channel.name}” uses the new secret from now on.")
    return back(pk)


@needs(MANAGE)
@require_POST
def redeliver(request: HttpRequest, pk: int, message_pk: int) -> HttpResponse:
    demand(request, MANAGE)
    one = message_of(pk, message_pk)
    try:
        managing.redeliver(one, by=request.user, via="page")
        messages.success(request, "It is sent again, with the id it had.")
    except managing.Refused as refused:
        messages.error(request, refused.message)
    return HttpResponseRedirect(reverse("finops:channel-message", args=[pk, message_pk]))


def back(pk: int) -> HttpResponse:
    return HttpResponseRedirect(reverse("finops:channel", args=[pk]))
