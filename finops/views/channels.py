"""The list of channels, a new one, and changing one that is there. For admins alone."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.actions.channels import delivery, managing
from finops.actions.channels.managing import NewChannel
from finops.channel_forms import ChannelForm
from finops.channels import SENDERS
from finops.channels.email import NO_SERVER
from finops.models.channels import ACTIVE, DISABLED, EMAIL, REMOVED
from finops.queries import channels as queries
from finops.queries.channels import ChannelRow

from .channels_one import NewKey, channel_page, found
from .connecting import demand
from .page import Action, View, needs, page
from .tables import Cell, Column, Row, Table, count_cell, csv_response, time_cell, words_cell

MANAGE = "finops.manage_channels"
STATES = {
    ACTIVE: ("On", "good"),
    DISABLED: ("Off", "bad"),
    REMOVED: ("Removed", "quiet"),
}
COLUMNS = (
    Column("Channel"),
    Column("Kind"),
    Column("State"),
    Column("Where it goes"),
    Column("Last sent"),
    Column("Waiting", number=True),
    Column("Not delivered", number=True),
)


@needs(MANAGE)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    demand(request, MANAGE)
    view = View.of(request)
    rows = queries.channel_list()
    return page(
        view,
        "finops/channels.html",
        "Channels",
        lead="Where people hear of alerts.",
        actions=[
            Action("CSV", view.to("channels-csv"), "download", download=True) if rows else None,
            Action("Add a channel", view.to("channel-new"), "plus", main=True),
        ],
        with_bar=False,
        table=channel_table(rows),
        off=[row for row in rows if row.channel.state == DISABLED],
        has_address=bool(delivery.public_address()),
        new_href=view.to("channel-new"),
    )


@needs(MANAGE)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    demand(request, MANAGE)
    return csv_response(channel_table(queries.channel_list()), "channels.csv")


def channel_table(rows: list[ChannelRow]) -> Table:
    return Table(
        "channels", "Channels by name", COLUMNS, tuple(Row(channel_cells(row)) for row in rows)
    )


def channel_cells(row: ChannelRow) -> tuple[Cell, ...]:
    channel = row.channel
    sender = SENDERS[channel.kind]
    state, tone = STATES[channel.state]
    return (
        words_cell(channel.name, href=reverse("finops:channel", args=[channel.pk])),
        Cell(sender.label, channel.kind),
        Cell(state, channel.state, tone=tone, note=channel.state_reason),
        words_cell(sender.where(channel.config)),
        time_cell(row.last_sent_at) if row.last_sent_at else Cell("never", ""),
        count_cell(row.waiting),
        count_cell(row.not_delivered),
    )


@needs(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """First the kind, then what that kind needs."""
    demand(request, MANAGE)
    view = View.of(request, "kind")
    kind = view.extra.get("kind", "")
    if kind not in SENDERS:
        return kinds_page(view)
    if request.method != "POST":
        return form_page(view, ChannelForm(kind, None))
    form = ChannelForm(kind, None, request.POST)
    if not form.is_valid():
        return form_page(view, form, status=422)
    wanted = NewChannel(
        kind=kind, name=form.cleaned_data["name"], config=form.config(), secret=form.secret()
    )
    try:
        channel, key = managing.add(wanted, by=request.user, via="page")
    except managing.Refused as refused:
        form.refuse(refused)
        return form_page(view, form, status=422)
    if key:
        return channel_page(View.of(request), found(channel.pk), key=NewKey(key), status=201)
    messages.success(request, f"“{channel.name}” is added. Send a test message to see it work.")
    return HttpResponseRedirect(reverse("finops:channel", args=[channel.pk]))


@needs(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    view = View.of(request)
    channel = found(pk).channel
    if channel.state == REMOVED:
        raise Http404("This channel was removed.")
    if request.method != "POST":
        return edit_page(view, pk, channel.name, ChannelForm(channel.kind, channel))
    form = ChannelForm(channel.kind, channel, request.POST)
    if form.is_valid():
        try:
            given = {"name": form.cleaned_data["name"], "config": form.config()}
            changed = managing.change(channel, **given, by=request.user, via="page")
        except managing.Refused as refused:
            form.refuse(refused)
        else:
            said = "is changed." if changed else "is as it was: nothing was different."
            messages.success(request, f"“{channel.name}” {said}")
            return HttpResponseRedirect(reverse("finops:channel", args=[pk]))
    return edit_page(view, pk, channel.name, form, status=422)


@needs(MANAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, MANAGE)
    channel = found(pk).channel
    try:
        managing.remove(channel, by=request.user, via="page")
        messages.success(request, f"“{channel.name}” is removed.")
    except managing.Refused as refused:
        messages.error(request, refused.message)
    return HttpResponseRedirect(reverse("finops:channels"))


def kinds_page(view: View) -> HttpResponse:
    return page(
        view,
        "finops/source_kinds.html",
        "Add a channel",
        lead="How should people hear of alerts?",
        crumbs=(("Channels", view.to("channels")),),
        with_bar=False,
        kinds=[
            (sender.label, sender.help, view.url(kind=kind)) for kind, sender in SENDERS.items()
        ],
    )


def form_page(view: View, form: ChannelForm, status: int = 200) -> HttpResponse:
    sender = SENDERS[form.kind]
    return page(
        view,
        "finops/channel_form.html",
        f"Add: {sender.label}",
        lead=sender.help,
        crumbs=(("Channels", view.to("channels")), ("Add a channel", view.to("channel-new"))),
        with_bar=False,
        status=status,
        form=form,
        action=view.to("channel-new", kind=form.kind),
        button="Add the channel",
        warning=NO_SERVER if form.kind == EMAIL and not settings.EMAIL_HOST else "",
    )


def edit_page(view: View, pk: int, name: str, form: ChannelForm, status: int = 200) -> HttpResponse:
    address = reverse("finops:channel", args=[pk])
    return page(
        view,
        "finops/channel_form.html",
        f"Change: {name}",
        lead="The next message uses what is saved here.",
        crumbs=(("Channels", view.to("channels")), (name, address)),
        with_bar=False,
        status=status,
        form=form,
        action=f"{address}/edit",
        button="Save",
    )
